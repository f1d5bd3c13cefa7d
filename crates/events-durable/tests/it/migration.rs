//! A file that version 1 of the tables wrote, of one queue: three events that wait, one of them put
//! back after it was a dead letter, and two dead letters.

use events_core::{Close, Sink};
use events_durable::{DurableQueue, OpenErrorKind, Spool, Stored};
use std::fs;

use crate::support::place;

#[test]
fn a_file_of_version_1_goes_on() {
    let place = place();
    fs::write(&place.path, include_bytes!("../data/version1.db")).unwrap();
    assert_eq!(Spool::open(&place.path).unwrap_err().kind(), OpenErrorKind::Older);

    let (tell, told) = std::sync::mpsc::channel();
    let sink = events_core::sink_fn(move |event: &Stored<String>| {
        tell.send((event.id().to_string(), event.attempts(), event.event().clone())).unwrap();
        Ok(())
    });
    let queue = DurableQueue::spawn(sink, &place.path).unwrap();
    assert_eq!(queue.stats().accepted, 3);
    queue.write(&"new".to_owned()).unwrap();
    queue.close().wait().unwrap();
    let mut told: Vec<_> = told.try_iter().collect();
    let id = |number: u64| format!("289728111aac0a23-{number}");
    let new = told.pop().unwrap();
    assert!(new.0.ends_with("-8") && !new.0.starts_with("289728111aac0a23"), "{}", new.0);
    let waits = |number| (id(number), 0, format!("waits {number}"));
    assert_eq!(told, [(id(2), 1, "bad 2".to_owned()), waits(5), waits(6)]);

    let dead: Vec<_> = queue.dead_letters().unwrap().map(Result::unwrap).collect();
    let events: Vec<String> = dead.iter().map(|dead| dead.event().unwrap()).collect();
    assert_eq!(events, ["bad 3", "bad 4"]);
    assert_eq!(dead[1].id().to_string(), id(4));
    assert_eq!((dead[1].attempts(), dead[1].error()), (1, "the event was rejected: refused"));
}
