//! Sinks that are called on the writer's thread.

use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
};

use events_broadcast::Broadcaster;
use events_core::{Close, ErrorKind, Sink, SinkError, sink_fn};
use parking_lot::Mutex;

use crate::support::{Blocked, Hook, Recorder, assert_balanced, stats_of};

/// The seed's own test, restated.
#[test]
fn seed_test_broadcaster() {
    const SINKS: usize = 10;
    let all = Broadcaster::new();
    let sinks: Vec<_> = (0..SINKS).map(|_| Recorder::new()).collect();
    let ids: Vec<_> = sinks.iter().map(|sink| all.add(sink.clone()).unwrap()).collect();
    // Adding one twice changes nothing.
    assert_eq!(all.add(sinks[0].clone()).unwrap(), ids[0]);

    thread::scope(|scope| {
        for event in 0..1_000 {
            let all = &all;
            scope.spawn(move || all.write(&event).unwrap());
        }
    });
    let first = sinks[0].events();
    assert_eq!(first.len(), 1_000);
    for sink in &sinks {
        assert_eq!(sink.events(), first, "all see one order");
    }

    for (sink, id) in sinks.iter().zip(&ids) {
        let removed = all.remove(*id).expect("it was added");
        assert!(std::ptr::addr_eq(Arc::as_ptr(&removed), Arc::as_ptr(sink)));
    }
    all.write(&1_000).unwrap();
    assert!(sinks.iter().all(|sink| sink.events().len() == 1_000), "nobody was left to see it");

    for sink in &sinks {
        all.add(sink.clone()).unwrap();
    }
    all.close().wait().unwrap();
    for sink in &sinks {
        assert_eq!(sink.closes.load(Ordering::Relaxed), 1);
    }
    assert_eq!(all.write(&0).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn seed_22_a_sink_that_leaves_during_a_write_costs_the_others_nothing() {
    let all = Broadcaster::new();
    let sinks: Vec<_> = (0..3).map(|_| Recorder::new()).collect();
    for sink in &sinks {
        all.add(sink.clone()).unwrap();
    }
    all.write(&1).unwrap();
    let _ended = sinks[0].close();
    all.write(&2).unwrap();
    all.write(&3).unwrap();
    assert_eq!(sinks[0].events(), [1]);
    assert_eq!(sinks[1].events(), [1, 2, 3]);
    assert_eq!(sinks[2].events(), [1, 2, 3]);
    assert_eq!(all.stats().len(), 2, "it has left");
}

#[test]
fn seed_23_sinks_are_known_by_their_id() {
    let all = Broadcaster::new();
    let sink = Recorder::new();
    let id = all.add(sink.clone()).unwrap();
    assert_eq!(all.add(sink.clone()).unwrap(), id);
    // One of the same kind and content is another sink.
    assert_ne!(all.add(Recorder::new()).unwrap(), id);
    all.write(&7).unwrap();
    assert_eq!(sink.events(), [7]);
    assert!(all.remove(id).is_some());
    assert!(all.remove(id).is_none());
    assert_eq!(Arc::strong_count(&sink), 1, "nothing holds on to it");
    assert_ne!(all.add(sink).unwrap(), id, "no id is used twice");
}

#[test]
fn seed_24_only_writes_wait_on_a_sink_that_blocks() {
    let all = Broadcaster::new();
    let (blocked, entered) = Blocked::new();
    let id = all.add(blocked.clone()).unwrap();
    let (done, results) = mpsc::channel();
    let writer = |event| {
        let (all, done) = (all.clone(), done.clone());
        thread::spawn(move || done.send(all.write(&event)).unwrap());
    };
    writer(1);
    entered.recv().unwrap();
    writer(2);
    // None of these waits, whether or not the second writer does already.
    let other = all.add(Recorder::new()).unwrap();
    assert!(all.remove(other).is_some());
    assert!(all.remove(id).is_some());
    all.add(blocked.clone()).unwrap();
    all.close().wait().unwrap();
    assert_eq!(results.recv().unwrap().unwrap_err().kind(), ErrorKind::Closed, "the second");
    assert!(results.try_recv().is_err(), "the first is in the sink");
    blocked.open();
    assert_eq!(results.recv().unwrap().unwrap_err().kind(), ErrorKind::Closed, "the first");
}

#[test]
fn seed_25_a_sink_may_remove_itself() {
    let all = Broadcaster::new();
    let hook = Arc::new(Hook::default());
    let id = all.add(hook.clone()).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    hook.set({
        let (all, seen) = (all.clone(), seen.clone());
        move |event| {
            seen.lock().push(event);
            assert!(all.remove(id).is_some());
            Ok(())
        }
    });
    all.write(&1).unwrap();
    all.write(&2).unwrap();
    assert_eq!(*seen.lock(), [1]);
}

#[test]
fn seed_27_add_after_close_adds_nothing() {
    let all = Broadcaster::<u64>::new();
    all.close().wait().unwrap();
    let sink = Recorder::new();
    assert_eq!(all.add(sink.clone()).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(Arc::strong_count(&sink), 1);
    assert!(all.stats().is_empty());
}

#[test]
fn seed_28_every_sink_can_be_compared() {
    // Sinks without an address or an identity of their own: zero-sized, and closures.
    let all = Broadcaster::<u64>::new();
    let nothing = || sink_fn(|_: &u64| Ok(()));
    let (one, two): (Arc<dyn Sink<u64>>, Arc<dyn Sink<u64>>) =
        (Arc::new(nothing()), Arc::new(nothing()));
    let one_id = all.add(one.clone()).unwrap();
    assert_ne!(all.add(two).unwrap(), one_id);
    assert_eq!(all.add(one).unwrap(), one_id);
}

#[test]
fn failures_and_panics_stay_with_their_sink() {
    let all = Broadcaster::new();
    let failing =
        Arc::new(sink_fn(|_: &u64| Err::<(), _>(SinkError::unavailable("it never works"))));
    let failing = all.add(failing).unwrap();
    let panicking = Arc::new(sink_fn(|event: &u64| {
        assert!(event.is_multiple_of(2), "an odd event");
        Ok(())
    }));
    let panicking = all.add(panicking).unwrap();
    let healthy = Recorder::new();
    let healthy_id = all.add(healthy.clone()).unwrap();
    for event in 0..10 {
        all.write(&event).unwrap();
    }
    assert_eq!(healthy.events(), (0..10).collect::<Vec<_>>());
    for (id, failed) in [(failing, 10), (panicking, 5), (healthy_id, 0)] {
        let stats = stats_of(&all, id);
        assert_eq!((stats.accepted, stats.failed), (10, failed));
        assert_balanced(&stats);
    }
}

#[test]
fn writing_from_inside_a_write_is_refused() {
    let all = Broadcaster::new();
    let hook = Arc::new(Hook::default());
    all.add(hook.clone()).unwrap();
    let answer = Arc::new(Mutex::new(None));
    hook.set({
        let (all, answer) = (all.clone(), answer.clone());
        move |event| {
            *answer.lock() = all.write(&(event + 1)).err().map(|error| error.kind());
            Ok(())
        }
    });
    all.write(&1).unwrap();
    assert_eq!(*answer.lock(), Some(ErrorKind::WouldDeadlock));
}

#[test]
fn those_that_joined_late_have_an_account_of_their_own() {
    let all = Broadcaster::new();
    all.add(Recorder::new()).unwrap();
    all.write(&1).unwrap();
    let late = all.add(Recorder::new()).unwrap();
    assert_eq!(stats_of(&all, late).accepted, 0);
    all.write(&2).unwrap();
    assert_eq!(stats_of(&all, late).delivered, 1);
}

#[tokio::test]
async fn a_write_that_is_given_up_passes_its_turn_on() {
    use events_core::AsyncSink;

    let all = Broadcaster::new();
    let (blocked, entered) = Blocked::new();
    all.add(blocked.clone()).unwrap();
    let holder = thread::spawn({
        let all = all.clone();
        move || Sink::write(&all, &1)
    });
    entered.recv().unwrap();
    let mut given_up = Box::pin(AsyncSink::write(&all, &2));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(given_up.as_mut().poll(&mut cx).is_pending());
    let waits = tokio::spawn({
        let all = all.clone();
        async move { AsyncSink::write(&all, &3).await }
    });
    tokio::task::yield_now().await;
    blocked.open();
    holder.join().unwrap().unwrap();
    // The first in the queue was woken, and goes without a turn.
    drop(given_up);
    waits.await.unwrap().unwrap();
    assert_eq!(blocked.recorder.events(), [1, 3]);
}
