//! Code that pulls.

use std::thread;

use events_broadcast::{Broadcaster, Lag, Missed};
use events_core::{Close, Sink};

fn numbers(subscription: events_broadcast::Subscription<u64>) -> Vec<u64> {
    subscription.into_iter().map(Result::unwrap).collect()
}

#[test]
fn each_sees_what_is_written_after_it_came() {
    let all = Broadcaster::new();
    let early = all.subscribe();
    all.write(&1).unwrap();
    let late = all.subscribe();
    all.write(&2).unwrap();
    all.close().wait().unwrap();
    assert_eq!(numbers(early), [1, 2]);
    assert_eq!(numbers(late), [2]);
    assert_eq!(numbers(all.subscribe()), [0; 0], "it ends at once");
}

#[test]
fn a_thread_is_woken_for_each_event_and_at_the_end() {
    let all = Broadcaster::new();
    let (sender, seen) = std::sync::mpsc::channel();
    let subscription = all.subscribe();
    let reader = thread::spawn(move || {
        for event in subscription {
            sender.send(event.unwrap()).unwrap();
        }
    });
    for event in 0..100 {
        all.write(&event).unwrap();
        assert_eq!(seen.recv().unwrap(), event);
    }
    all.close().wait().unwrap();
    reader.join().unwrap();
}

#[test]
fn one_that_lags_is_told_exactly_how_many_it_missed() {
    let all = Broadcaster::new();
    let mut events = all.subscriber().lag(Lag::DropOldest(10)).subscribe().unwrap();
    all.write(&0).unwrap();
    assert_eq!(events.try_recv(), Some(Ok(0)));
    for event in 1..=1_000 {
        all.write(&event).unwrap();
    }
    let missed = events.try_recv().unwrap().unwrap_err();
    assert_eq!(missed.count(), 990);
    all.close().wait().unwrap();
    assert_eq!(numbers(events), (991..=1_000).collect::<Vec<_>>());
}

#[test]
fn one_that_lags_too_far_is_disconnected_and_its_memory_freed() {
    let all = Broadcaster::new();
    let mut events = all.subscriber().lag(Lag::Disconnect(10)).subscribe().unwrap();
    for event in 0..10 {
        all.write(&std::sync::Arc::new(event)).unwrap();
    }
    assert_eq!(events.try_recv(), Some(Ok(std::sync::Arc::new(0))), "not too far yet");
    let watched = std::sync::Arc::new(99);
    for _ in 0..11 {
        all.write(&watched).unwrap();
    }
    assert_eq!(events.try_recv().map(|item| item.map_err(Missed::count)), Some(Err(20)));
    assert_eq!(events.missed(), 20);
    assert_eq!(events.try_recv(), None);
    assert_eq!(events.pending(), 0);
    drop(events);
    assert_eq!(std::sync::Arc::strong_count(&watched), 1);
}

#[test]
fn a_bound_of_nothing_is_refused() {
    let all = Broadcaster::<u64>::new();
    for lag in [Lag::DropOldest(0), Lag::Disconnect(0)] {
        let error = all.subscriber().lag(lag).subscribe().unwrap_err();
        assert_eq!(error.to_string(), "lag must allow at least 1 event, was 0");
    }
}

#[test]
fn the_last_handle_ends_it() {
    let all = Broadcaster::new();
    let events = all.subscribe();
    all.clone().write(&1).unwrap();
    drop(all);
    assert_eq!(numbers(events), [1]);
}

#[cfg(feature = "futures")]
#[tokio::test]
async fn it_is_a_stream() {
    use events_core::AsyncSink;
    use futures_util::StreamExt;

    let all = Broadcaster::new();
    let events = all.subscribe();
    let reader = tokio::spawn(events.map(Result::unwrap).collect::<Vec<_>>());
    for event in 0..1_000 {
        AsyncSink::write(&all, &event).await.unwrap();
        tokio::task::yield_now().await;
    }
    all.close().await.unwrap();
    assert_eq!(reader.await.unwrap(), (0..1_000).collect::<Vec<_>>());
}
