//! Several consumers of one log: each has all, at its own pace, and an event is stored once.

use std::sync::mpsc;

use events_core::{AsyncSink, Close, ErrorKind, Sink, SinkError, sink_fn};
use events_durable::{DurableLog, Mode, OpenErrorKind, Retention, Spool, Start, Stored};

use crate::support::{Kept, Place, held, place};

fn log(place: &Place) -> DurableLog<u64> {
    DurableLog::open(&place.path).unwrap()
}

#[test]
fn each_consumer_has_every_event_in_order() {
    let place = place();
    let log = log(&place);
    let kept: Vec<Kept> = (0..5).map(|_| Kept::default()).collect();
    for (number, kept) in kept.iter().enumerate() {
        log.consumer(format!("consumer {number}")).spawn(kept.clone()).unwrap();
    }
    for number in 0..2_000 {
        Sink::write(&log, &number).unwrap();
    }
    log.close().wait().unwrap();
    for kept in kept {
        assert_eq!(kept.numbers(), (0..2_000).collect::<Vec<_>>());
    }
    let stats = Spool::open(&place.path).unwrap().stats().unwrap();
    assert_eq!((stats.pending, stats.events), (0, 0));
}

#[test]
fn a_consumer_that_is_stuck_holds_up_nobody_and_the_log_keeps_its_events() {
    let place = place();
    let log = log(&place);
    let kept = Kept::default();
    let quick = log.consumer("quick").spawn(kept.clone()).unwrap();
    let (sink, holder) = held();
    let stuck = log.consumer("stuck").spawn(sink).unwrap();
    for number in 0..5_000 {
        Sink::write(&log, &number).unwrap();
    }
    assert_eq!(holder.given.recv().unwrap(), 0);
    quick.flush().wait().unwrap();
    assert_eq!(kept.numbers().len(), 5_000);
    assert_eq!(quick.stats().pending, 0);
    assert_eq!((stuck.stats().pending, stuck.stats().in_flight), (5_000, 1));
    let consumers = log.spool().unwrap().consumers().unwrap();
    let lags: Vec<_> = consumers.iter().map(|one| (&*one.name, one.waiting)).collect();
    assert_eq!(lags, [("quick", 0), ("stuck", 5_000)]);
    let error = log.close_within(std::time::Duration::ZERO).wait().unwrap_err();
    assert_eq!((error.kind(), error.undelivered()), (ErrorKind::Undelivered, Some(5_000)));

    let log = self::log(&place);
    let (again, rest) = (Kept::default(), Kept::default());
    log.consumer("quick").spawn(again.clone()).unwrap();
    log.consumer("stuck").spawn(rest.clone()).unwrap();
    log.close().wait().unwrap();
    assert!(again.numbers().is_empty());
    assert_eq!(rest.numbers(), (0..5_000).collect::<Vec<_>>());
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    let place = place();
    let log = DurableLog::<f64>::open(&place.path).unwrap();
    let numbers = log.consumer("numbers").spawn(sink_fn(|_: &Stored<f64>| Ok(()))).unwrap();
    let error = Sink::write(&log, [1.0, f64::NAN, 3.0].as_slice()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(format!("{error:?}").contains("event 1 of the batch"), "{error:?}");
    assert_eq!(log.stats().written, 0);
    Sink::write(&log, [1.0, 2.0].as_slice()).unwrap();
    Sink::write(&log, [].as_slice()).unwrap();
    log.close().wait().unwrap();
    assert_eq!((log.stats().written, numbers.stats().delivered), (2, 2));
}

#[test]
fn any_number_of_writes_are_under_way_in_the_order_of_their_calls() {
    let place = place();
    let log = log(&place);
    let kept = Kept::default();
    log.consumer("all").spawn(kept.clone()).unwrap();
    let numbers: Vec<u64> = (0..500).collect();
    let mut writes: Vec<_> = numbers.iter().map(|number| AsyncSink::write(&log, number)).collect();
    // Whatever order they are polled in.
    while let Some(write) = writes.pop() {
        events_core::engine::park::block_on(write).unwrap();
    }
    log.close().wait().unwrap();
    assert_eq!(kept.numbers(), numbers);
}

#[test]
fn consumers_come_late_begin_where_they_say_and_go() {
    let place = place();
    let log = DurableLog::builder(&place.path)
        .retention(
            Retention::until_settled().or(Retention::age(std::time::Duration::from_hours(1))),
        )
        .open()
        .unwrap();
    let all = Kept::default();
    log.consumer("first").spawn(all.clone()).unwrap().flush().wait().unwrap();
    for number in 0..10_u64 {
        Sink::write(&log, &number).unwrap();
    }
    let id = log.read(Start::Last(4)).unwrap().next().unwrap().unwrap().id();
    let begin = |name: &str, start| {
        let kept = Kept::default();
        let consumer = log.consumer(name).start(start).spawn(kept.clone()).unwrap();
        (consumer, kept)
    };
    let late = [
        begin("earliest", Start::Earliest),
        begin("latest", Start::Latest),
        begin("after", Start::After(id)),
        begin("last", Start::Last(2)),
        begin("at", Start::At(std::time::SystemTime::UNIX_EPOCH)),
    ];
    Sink::write(&log, &10).unwrap();
    let first = |at: usize| {
        late[at].0.flush().wait().unwrap();
        let numbers = late[at].1.numbers();
        assert!(numbers.is_sorted() && numbers.last() == Some(&10), "{numbers:?}");
        numbers[0]
    };
    assert_eq!([first(0), first(1), first(2), first(3), first(4)], [0, 10, 7, 8, 0]);
    // One goes and comes back, and one is forgotten.
    late[1].0.close().wait().unwrap();
    Sink::write(&log, &11).unwrap();
    let (_again, kept) = begin("latest", Start::Earliest);
    late[2].0.delete().wait().unwrap();
    let (afresh, everything) = begin("after", Start::Earliest);
    afresh.flush().wait().unwrap();
    assert_eq!(everything.numbers(), (0..12).collect::<Vec<_>>());
    log.close().wait().unwrap();
    assert_eq!(kept.numbers(), [11]);
    assert_eq!(all.numbers(), (0..12).collect::<Vec<_>>());
}

#[test]
fn a_consumer_that_runs_is_not_started_twice_nor_deleted_by_name() {
    let place = place();
    let log = log(&place);
    let first = log.consumer("one").spawn(Kept::default()).unwrap();
    let error = log.consumer("one").spawn(Kept::default()).unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::InUse);
    assert!(format!("{error:?}").contains("runs already"), "{error:?}");
    assert_eq!(log.delete_consumer("one").wait().unwrap_err().kind(), ErrorKind::Rejected);
    first.close().wait().unwrap();
    assert_eq!(log.delete_consumer("one").wait().unwrap(), 1);
    assert_eq!(log.delete_consumer("one").wait().unwrap(), 0);
    log.close().wait().unwrap();
    let error = log.consumer("two").spawn(Kept::default()).unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Closed);
}

#[test]
fn a_destination_that_is_gone_ends_its_consumer_and_not_the_log() {
    let place = place();
    let log = log(&place);
    let gone = sink_fn(|_: &Stored<u64>| Err(SinkError::closed()));
    let gone = log.consumer("gone").spawn(gone).unwrap();
    let kept = Kept::default();
    log.consumer("there").spawn(kept.clone()).unwrap();
    Sink::write(&log, &1).unwrap();
    let error = gone.close().wait().unwrap_err();
    assert_eq!((error.kind(), error.undelivered()), (ErrorKind::Undelivered, Some(1)));
    Sink::write(&log, &2).unwrap();
    assert_eq!(log.close().wait().unwrap_err().undelivered(), Some(1));
    assert_eq!(kept.numbers(), [1, 2]);
}

#[test]
fn what_is_paused_waits_and_what_is_disabled_stays_so() {
    let place = place();
    let first = log(&place);
    let kept = Kept::default();
    let (paused, disabled) = (Kept::default(), Kept::default());
    let witness = first.consumer("witness").spawn(kept.clone()).unwrap();
    let one = first.consumer("paused").spawn(paused.clone()).unwrap();
    let two = first.consumer("disabled").spawn(disabled.clone()).unwrap();
    one.pause();
    two.disable();
    assert_eq!((one.mode(), two.mode()), (Mode::Paused, Mode::Disabled));
    Sink::write(&first, &1).unwrap();
    witness.flush().wait().unwrap();
    assert!(paused.numbers().is_empty() && disabled.numbers().is_empty());
    one.resume();
    one.flush().wait().unwrap();
    assert_eq!(paused.numbers(), [1]);
    assert_eq!(first.close().wait().unwrap_err().undelivered(), Some(1));
    assert!(disabled.numbers().is_empty());

    let again = log(&place);
    let two = again.consumer("disabled").spawn(disabled.clone()).unwrap();
    assert_eq!(two.mode(), Mode::Disabled);
    two.enable();
    two.flush().wait().unwrap();
    assert_eq!(disabled.numbers(), [1]);
    again.close().wait().unwrap();
}

#[test]
fn what_is_kept_is_delivered_again_when_asked_and_passed_over_when_asked() {
    let place = place();
    let log = DurableLog::builder(&place.path)
        .retention(Retention::age(std::time::Duration::from_hours(1)))
        .open()
        .unwrap();
    let kept = Kept::default();
    let consumer = log.consumer("all").spawn(kept.clone()).unwrap();
    for number in 0..5_u64 {
        Sink::write(&log, &number).unwrap();
    }
    consumer.flush().wait().unwrap();
    assert_eq!(consumer.replay_range(Start::Last(3), Start::Last(1)).wait().unwrap(), 2);
    consumer.flush().wait().unwrap();
    assert_eq!(kept.numbers(), [0, 1, 2, 3, 4, 2, 3]);
    consumer.pause();
    for number in 5..10_u64 {
        Sink::write(&log, &number).unwrap();
    }
    assert_eq!(consumer.skip_to(Start::Last(1)).wait().unwrap(), 4);
    consumer.resume();
    consumer.flush().wait().unwrap();
    assert_eq!(kept.numbers()[7..], [9]);
    let stats = consumer.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.dropped.overflow), (12, 8, 4));
    log.close().wait().unwrap();
}

#[test]
fn who_is_overtaken_by_the_retention_is_told_how_many_it_missed() {
    let place = place();
    let log = DurableLog::<String>::builder(&place.path)
        .retention(Retention::size(256 * 1024))
        .open()
        .unwrap();
    let (tell, told) = mpsc::channel();
    let (open, opened) = mpsc::channel::<()>();
    let opened = parking_lot::Mutex::new(opened);
    let slow = sink_fn(move |event: &Stored<String>| {
        let _ = opened.lock().recv();
        tell.send(event.id().number()).unwrap();
        Ok(())
    });
    let slow = log.consumer("slow").spawn(slow).unwrap();
    let mut late = log.read(Start::Earliest).unwrap();
    for _ in 0..100 {
        let batch = vec!["x".repeat(1_000); 20];
        Sink::write(&log, batch.as_slice()).unwrap();
    }
    drop(open);
    slow.flush().wait().unwrap();
    let stats = slow.stats();
    assert_eq!(stats.accepted, 2_000);
    assert!(stats.dropped.overflow > 1_000, "{stats:?}");
    assert_eq!(stats.delivered + stats.dropped.overflow, 2_000);
    let numbers: Vec<u64> = told.try_iter().collect();
    assert_eq!((numbers.len() as u64, numbers.last()), (stats.delivered, Some(&2_000)));
    let missed = late.history().find_map(|event| match event {
        Err(events_durable::ReadError::Missed(count)) => Some(count),
        _ => None,
    });
    assert!(missed.is_some_and(|missed| missed > 1_000), "{missed:?}");
    assert!(log.spool().unwrap().stats().unwrap().used_bytes < 400 * 1024);
    log.close().wait().unwrap();
}
