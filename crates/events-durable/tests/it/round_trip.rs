//! Any value that a write takes is given to the sink as it was, or the write is `Rejected`.

use std::{
    collections::HashMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use events_core::{Close, ErrorKind, Sink, sink_fn};
use events_durable::{Durability, DurableQueue, Stored};
use parking_lot::Mutex;

use crate::{
    shapes::{Shape, shape},
    support::place,
};

const WRITERS: u64 = 32;
const EACH: u64 = 3_200;

type Numbered = (u64, Shape);

/// `EVENTS_SEED` replays a run.
fn seed() -> u64 {
    env::var("EVENTS_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap())
}

#[test]
fn what_a_write_takes_comes_back_equal() {
    let seed = seed();
    println!("EVENTS_SEED={seed}");
    let place = place();
    let expected = Arc::new(Mutex::new(HashMap::<u64, Shape>::new()));
    let (wanted, changed) = (Arc::clone(&expected), Arc::new(Mutex::new(Vec::new())));
    let differs = Arc::clone(&changed);
    let sink = sink_fn(move |event: &Stored<Numbered>| {
        let (number, shape) = &**event;
        let before = wanted.lock().remove(number);
        if before.as_ref() != Some(shape) {
            differs.lock().push((*number, before, shape.clone()));
        }
        Ok(())
    });
    let queue = DurableQueue::builder(&place.path).durability(Durability::Normal);
    let queue = queue.spawn(sink).unwrap();
    let rejected = AtomicU64::new(0);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (queue, expected, rejected) = (&queue, &expected, &rejected);
            let write = move || {
                for number in writer * EACH..(writer + 1) * EACH {
                    let value = shape(&mut fastrand::Rng::with_seed(seed ^ number), 3);
                    expected.lock().insert(number, value.clone());
                    if let Err(error) = queue.write(&(number, value)) {
                        assert_eq!(error.kind(), ErrorKind::Rejected);
                        expected.lock().remove(&number);
                        rejected.fetch_add(1, Ordering::Relaxed);
                    }
                }
            };
            // Room for the drop of a value that is thousands deep.
            thread::Builder::new().stack_size(16 << 20).spawn_scoped(scope, write).unwrap();
        }
    });
    queue.close().wait().unwrap();
    let changed = changed.lock();
    assert_eq!(changed.first(), None, "{} values came back as others", changed.len());
    assert_eq!(expected.lock().len(), 0, "some never came back");
    let (stats, rejected) = (queue.stats(), rejected.into_inner());
    assert_eq!(stats.failed, 0);
    assert_eq!(stats.delivered + rejected, WRITERS * EACH);
    // Neither is the rare case.
    assert!(stats.delivered > WRITERS * EACH / 2 && rejected > WRITERS * EACH / 50, "{stats:?}");
}

/// What JSON can say must not be refused.
#[test]
fn what_comes_back_is_not_refused() {
    let place = place();
    let queue = DurableQueue::<serde_json::Value>::spawn(events_core::Discard::new(), &place.path);
    let queue = queue.unwrap();
    for (depth, taken) in [(1, true), (127, true), (128, false), (100_000, false)] {
        let mut value = serde_json::Value::Null;
        for _ in 0..depth {
            value = vec![value].into();
        }
        assert_eq!(queue.write(&value).is_ok(), taken, "{depth} deep");
        // Level by level, since its drop would overflow the stack.
        while let serde_json::Value::Array(inner) = &mut value {
            value = inner.pop().unwrap();
        }
    }
    for text in ["0.11230303667187247", "[]", "{}", "\"\\u0000\"", "-0.0", "1e308", "null"] {
        queue.write(&serde_json::from_str::<serde_json::Value>(text).unwrap()).unwrap();
    }
    queue.close().wait().unwrap();
}

/// The order in which a set is written is another one in the set that is read.
#[test]
fn what_has_no_order_is_not_refused_for_it() {
    let place = place();
    let queue = DurableQueue::spawn(events_core::Discard::new(), &place.path).unwrap();
    let set: std::collections::HashSet<u64> = (0..1_000).collect();
    let map: HashMap<u64, String> = (0..1_000).map(|number| (number, String::new())).collect();
    queue.write(&(set, map)).unwrap();
    queue.close().wait().unwrap();
}
