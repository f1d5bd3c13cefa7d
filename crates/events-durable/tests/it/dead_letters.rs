use events_core::{Bisect, Close, ErrorKind, Sink, SinkError, sink_fn};
use events_durable::{Dead, DurableQueue, Spool, Stored, Which};
use std::time::Duration;

use crate::support::{Kept, Place, place, queue};

fn dead(place: &Place) -> Vec<Dead> {
    Spool::open(&place.path).unwrap().dead_letters().map(Result::unwrap).collect()
}

/// A sink that refuses odd numbers and panics over 13.
fn even(kept: &Kept) -> impl Sink<Stored<u64>> + 'static {
    let kept = kept.clone();
    sink_fn(move |event: &Stored<u64>| match **event {
        13 => panic!("thirteen"),
        odd if odd % 2 == 1 => Err(SinkError::rejected("odd")),
        _ => kept.write(event),
    })
}

#[test]
fn what_the_sink_refuses_is_listed_with_its_error() {
    let place = place();
    let kept = Kept::default();
    let queue = queue(&place, even(&kept));
    for number in 10..16 {
        queue.write(&number).unwrap();
    }
    queue.flush().wait().unwrap();
    assert_eq!(kept.numbers(), [10, 12, 14]);
    let letters: Vec<_> = queue.dead_letters().unwrap().map(Result::unwrap).collect();
    let numbers: Vec<u64> = letters.iter().map(|dead| dead.event().unwrap()).collect();
    assert_eq!(numbers, [11, 13, 15]);
    assert_eq!(letters[0].error(), "the event was rejected: odd");
    assert!(letters[1].error().contains("thirteen"), "{}", letters[1].error());
    assert!(letters.iter().all(|dead| dead.attempts() == 1));
    assert!(letters.iter().all(|dead| dead.first_failed() == dead.last_failed()));
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.failed, stats.pending), (6, 3, 3, 0));
    queue.close().wait().unwrap();
}

#[test]
fn some_are_put_back_and_some_thrown_away() {
    let place = place();
    let kept = Kept::default();
    let first = queue(&place, even(&kept));
    for number in [1, 3, 5, 7] {
        first.write(&number).unwrap();
    }
    first.flush().wait().unwrap();
    let ids: Vec<_> = dead(&place).iter().map(Dead::id).collect();
    assert_eq!(first.replay(Which::Ids(vec![ids[2], ids[0]])).wait().unwrap(), 2);
    first.flush().wait().unwrap();
    let letters = dead(&place);
    assert_eq!(letters.iter().map(Dead::attempts).collect::<Vec<_>>(), [2, 1, 2, 1]);
    assert!(letters[0].first_failed() <= letters[0].last_failed());
    assert_eq!(first.purge(Which::Ids(vec![ids[3]])).wait().unwrap(), 1);
    first.close().wait().unwrap();
    assert_eq!(first.replay(Which::All).wait().unwrap_err().kind(), ErrorKind::Closed);

    // With the queue closed, the file itself is asked; the next run has a better sink.
    assert_eq!(Spool::replay(&place.path, None, &Which::All).unwrap(), 3);
    let second = queue(&place, kept.clone());
    second.close().wait().unwrap();
    assert_eq!(kept.numbers(), [1, 3, 5]);
    assert_eq!(kept.ids(), ids[..3].iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(Spool::purge(&place.path, None, &Which::All).unwrap(), 0);
}

#[test]
fn all_dead_letters_are_listed_however_many_pages_they_fill() {
    let place = place();
    let sink = sink_fn(|_: &Stored<u64>| Err(SinkError::rejected("no")));
    let queue = queue(&place, sink);
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let queue = &queue;
            scope.spawn(move || (0..40).for_each(|n| queue.write(&(writer * 40 + n)).unwrap()));
        }
    });
    queue.flush().wait().unwrap();
    assert_eq!(dead(&place).len(), 320);
    assert_eq!(queue.purge(Which::All).wait().unwrap(), 320);
    assert_eq!(dead(&place).len(), 0);
    queue.close().wait().unwrap();
}

#[test]
fn an_event_that_no_longer_decodes_is_a_dead_letter_with_its_raw_bytes() {
    let place = place();
    queue(&place, Kept::default()).close().wait().unwrap();
    place.tamper(
        "INSERT INTO durable_events (seq, written, event) VALUES
             (1, 0, '1'), (2, 0, '{\"secret\":\"hunter2\"}'), (3, 0, x'ff00'), (4, 0, '4')",
    );
    let kept = Kept::default();
    let queue = queue(&place, kept.clone());
    queue.close().wait().unwrap();
    assert_eq!(kept.numbers(), [1, 4]);
    let letters = dead(&place);
    assert_eq!(letters[0].raw(), b"{\"secret\":\"hunter2\"}");
    assert_eq!(letters[1].raw(), [0xff, 0]);
    assert!(letters[0].error().contains("does not decode"), "{}", letters[0].error());
    assert!(!letters[0].error().contains("hunter2"));
    assert!(!format!("{:?}", letters[0]).contains("hunter2"));
    assert_eq!(queue.stats().failed, 2);
}

#[test]
fn of_a_batch_only_the_events_that_its_error_names_are_dead() {
    let place = place();
    queue(&place, Kept::default()).close().wait().unwrap();
    place.tamper(
        "INSERT INTO durable_events (seq, written, event) VALUES
             (1, 0, '10'), (2, 0, '\"two\"'), (3, 0, '11'), (4, 0, '12'), (5, 0, '15')",
    );
    let kept = Kept::default();
    let inner = kept.clone();
    let even = sink_fn(move |batch: &[Stored<u64>]| {
        let odd = batch.iter().any(|event| **event % 2 == 1);
        if odd { Err(SinkError::rejected("odd")) } else { inner.write(batch) }
    });
    let queue = DurableQueue::<u64>::builder(&place.path).batch(5, Duration::from_mins(1));
    let queue = queue.spawn(Bisect::new(even)).unwrap();
    queue.flush().wait().unwrap();
    let stats = queue.stats();
    queue.close().wait().unwrap();
    assert_eq!((stats.delivered, stats.failed, stats.pending), (2, 3, 0));
    assert_eq!(kept.numbers(), [10, 12]);
    let errors: Vec<_> = dead(&place).iter().map(|dead| dead.error().to_owned()).collect();
    let decode = "the event does not decode: Data error at line 1, column 5";
    assert_eq!(errors, [decode, "the event was rejected: odd", "the event was rejected: odd"]);
    assert_eq!(place.ask::<u64>("SELECT count(*) FROM durable_events"), 3);
}

#[test]
fn amid_a_batch_what_a_destination_that_goes_has_not_taken_stays() {
    let place = place();
    let gone = sink_fn(|_: &[Stored<u64>]| {
        let failures = vec![(1, SinkError::rejected("odd")), (2, SinkError::closed())];
        Err(SinkError::of_batch(failures).unwrap())
    });
    let queue = DurableQueue::builder(&place.path).batch(3, Duration::from_hours(1));
    let queue = queue.spawn(gone).unwrap();
    for number in 0..3_u64 {
        queue.write(&number).unwrap();
    }
    queue.close().wait().unwrap_err();
    assert_eq!(dead(&place).len(), 1);
    let kept = Kept::default();
    let again = super::support::queue(&place, kept.clone());
    again.close().wait().unwrap();
    assert_eq!(kept.numbers(), [2]);
}

#[test]
fn in_a_batch_the_others_go_on_and_each_has_its_own_error() {
    for refuse in [false, true] {
        let place = place();
        queue(&place, Kept::default()).close().wait().unwrap();
        place.tamper(
            "INSERT INTO durable_events (seq, written, event) VALUES
                 (1, 0, '1'), (2, 0, '\"two\"'), (3, 0, '3')",
        );
        let kept = Kept::default();
        let inner = kept.clone();
        let sink =
            sink_fn(
                move |batch: &[Stored<u64>]| {
                    if refuse { Err(SinkError::rejected("no")) } else { inner.write(batch) }
                },
            );
        let queue = DurableQueue::<u64>::builder(&place.path).batch(3, Duration::from_mins(1));
        queue.spawn(sink).unwrap().close().wait().unwrap();
        let errors: Vec<_> = dead(&place).iter().map(|dead| dead.error().to_owned()).collect();
        let decode = "the event does not decode: Data error at line 1, column 5";
        if refuse {
            let no = "the event was rejected: no";
            assert_eq!(errors, [no, decode, no]);
        } else {
            assert_eq!(kept.numbers(), [1, 3]);
            assert_eq!(errors, [decode]);
        }
    }
}
