//! What an `Ok` of a write and of a close promises where sinks fail, close and leave.

use std::{error::Error, sync::Arc};

use events_broadcast::{Broadcaster, Lag};
use events_core::{Close, DeadLetter, ErrorKind, Memory, Sink, SinkError, sink_fn};

use crate::support::{Blocked, Recorder};

fn rejects() -> impl Sink<u64> {
    sink_fn(|_: &u64| Err(SinkError::rejected("status 400")))
}

fn closed() -> impl Sink<u64> {
    sink_fn(|_: &u64| Err(SinkError::closed()))
}

fn kind(result: Result<(), SinkError>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn undelivered(all: &Broadcaster<u64>) -> Option<u64> {
    let error = all.close().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Undelivered, "{error:?}");
    assert_eq!(all.close().wait().unwrap_err().undelivered(), error.undelivered());
    error.undelivered()
}

#[test]
fn a_close_counts_what_each_sink_did_not_take() {
    let all = Broadcaster::new();
    all.spawn(rejects());
    all.add(Arc::new(rejects())).unwrap();
    all.add(Recorder::new()).unwrap();
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    all.subscriber().dead_letter(Arc::clone(&dead)).spawn(rejects()).unwrap();
    (0..3).for_each(|event| all.write(&event).unwrap());
    assert_eq!(undelivered(&all), Some(6), "the dead letter has the others");
    assert_eq!(dead.events().len(), 3);
}

#[test]
fn a_close_tells_why_a_direct_sink_did_not_take_the_first() {
    let all = Broadcaster::new();
    all.add(Arc::new(sink_fn(|event: &u64| match event {
        0 => Ok(()),
        1 => Err(SinkError::rejected("status 400")),
        _ => panic!("on purpose"),
    })))
    .unwrap();
    (0..3).for_each(|event| all.write(&event).unwrap());
    let error = all.close().wait().unwrap_err();
    assert_eq!(error.undelivered(), Some(2));
    assert_eq!(error.source().unwrap().source().unwrap().to_string(), "status 400");
}

#[test]
fn a_close_tells_of_those_that_ended_before_it() {
    let all = Broadcaster::new();
    let early: Vec<_> = (0..3).map(|_| all.spawn(rejects())).collect();
    let stays = Arc::new(Memory::new());
    all.spawn(Arc::clone(&stays));
    all.write(&0).unwrap();
    for delivery in early {
        assert_eq!(delivery.close().wait().unwrap_err().undelivered(), Some(1));
    }
    all.write(&1).unwrap();
    let error = all.close().wait().unwrap_err();
    assert_eq!(error.undelivered(), Some(3));
    assert_eq!(error.source().unwrap().to_string(), "1 event was not delivered", "the first error");
    assert_eq!(stays.events(), [0, 1]);
}

#[test]
fn what_a_removed_sink_did_not_take_is_told() {
    let all = Broadcaster::new();
    let id = all.add(Arc::new(rejects())).unwrap();
    all.write(&0).unwrap();
    all.remove(id).unwrap();
    all.write(&1).unwrap();
    assert_eq!(undelivered(&all), Some(1));
}

#[test]
fn what_a_lag_policy_drops_is_dropped_by_choice() {
    let all = Broadcaster::new();
    let (slow, began) = Blocked::new();
    all.subscriber().lag(Lag::DropOldest(1)).spawn(Arc::clone(&slow)).unwrap();
    all.write(&0).unwrap();
    began.recv().unwrap();
    (1..5).for_each(|event| all.write(&event).unwrap());
    slow.open();
    all.close().wait().unwrap();
    assert_eq!(slow.recorder.events(), [0, 4]);
}

#[test]
fn a_broadcaster_that_never_had_a_sink_sends_its_events_nowhere_by_choice() {
    let all = Broadcaster::new();
    all.write(&0).unwrap();
    all.close().wait().unwrap();
}

#[test]
fn after_the_last_direct_sink_was_closed_writes_are_unavailable_until_another_joins() {
    let all = Broadcaster::new();
    let stays = Recorder::new();
    let id = all.add(Arc::<Recorder>::clone(&stays)).unwrap();
    all.add(Arc::new(closed())).unwrap();
    all.write(&0).unwrap();
    stays.close().wait().unwrap();
    assert_eq!(kind(all.write(&1)), Some(ErrorKind::Unavailable), "nobody got it");
    assert!(all.remove(id).is_none(), "it has left");
    assert_eq!(kind(all.write(&2)), Some(ErrorKind::Unavailable));

    let joins = Recorder::new();
    all.add(Arc::<Recorder>::clone(&joins)).unwrap();
    all.write(&3).unwrap();
    assert_eq!(joins.events(), [3]);
    assert_eq!(
        undelivered(&all),
        Some(1),
        "one did not take the first; the refused were not accepted"
    );
    assert_eq!(kind(all.write(&4)), Some(ErrorKind::Closed));
}

#[test]
fn after_the_last_worker_was_closed_writes_are_unavailable_until_somebody_joins() {
    let all = Broadcaster::new();
    let delivery = all.spawn(closed());
    all.write(&0).unwrap();
    assert!(delivery.close().wait().is_err());
    assert_eq!(kind(all.write(&1)), Some(ErrorKind::Unavailable));
    let mut joins = all.subscribe();
    all.write(&2).unwrap();
    assert_eq!(joins.blocking_recv(), Some(Ok(2)));
    drop(joins);
    all.write(&3).unwrap();
    assert_eq!(undelivered(&all), Some(1));
}

#[test]
fn a_worker_that_is_lost_leaves_a_broadcaster_unavailable() {
    let all = Broadcaster::new();
    let (_delivery, worker) = all.pair(Arc::new(Memory::new()));
    all.write(&0).unwrap();
    drop(worker);
    assert_eq!(kind(all.write(&1)), Some(ErrorKind::Unavailable));
    assert_eq!(undelivered(&all), Some(1));
}

#[test]
fn who_leaves_by_choice_leaves_it_open() {
    let all = Broadcaster::new();
    let id = all.add(Recorder::new()).unwrap();
    all.remove(id).unwrap();
    all.write(&0).unwrap();
    let delivery = all.spawn(Recorder::new());
    delivery.close().wait().unwrap();
    all.write(&1).unwrap();
    all.close().wait().unwrap();
}
