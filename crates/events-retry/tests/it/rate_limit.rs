//! So many a second, on tokio's paused clock and on threads.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    thread,
    time::Duration,
};

use events_core::{AsyncSink, Close, ErrorKind, Memory, Sink, conformance::Suite};
use events_retry::RateLimit;
use tokio::time::Instant;

use crate::support::kind;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn events_go_at_their_rate_and_in_line() {
    let limit = Arc::new(RateLimit::new(Memory::new(), 10).unwrap().burst(1).unwrap());
    let start = Instant::now();
    let mut writes = Vec::new();
    for event in 0..101 {
        let limit = Arc::clone(&limit);
        writes.push(tokio::spawn(async move { AsyncSink::write(&*limit, &event).await }));
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(limit.get_ref().len(), 5, "one at once, then one in a tenth");
    for write in writes {
        write.await.unwrap().unwrap();
    }
    // tokio's timers are a millisecond late at most.
    let took = start.elapsed();
    assert!(took >= 10 * SECOND && took < 10 * SECOND + SECOND / 5, "{took:?}");
    assert_eq!(limit.get_ref().events(), (0..101).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_is_made_up_for_within_the_burst() {
    let limit = RateLimit::new(Memory::new(), 10).unwrap();
    let start = Instant::now();
    for event in 0..10 {
        AsyncSink::write(&limit, &event).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "a second's worth at once");
    tokio::time::sleep(60 * SECOND).await;
    let start = Instant::now();
    for event in 0..20 {
        AsyncSink::write(&limit, &event).await.unwrap();
    }
    let took = start.elapsed();
    assert!(took >= SECOND && took < SECOND * 6 / 5, "a second's worth and no more: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn bytes_count_and_an_event_larger_than_the_burst_takes_its_time() {
    let size = |event: &Vec<u8>| event.len();
    let limit = RateLimit::bytes(Memory::new(), 1_000, size).unwrap().burst(100).unwrap();
    let start = Instant::now();
    AsyncSink::write(&limit, &Vec::new()).await.unwrap();
    AsyncSink::write(&limit, &vec![0; 100]).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    AsyncSink::write(&limit, &vec![0; 5_000]).await.unwrap();
    let took = start.elapsed();
    assert!(took >= 5 * SECOND && took < 6 * SECOND, "{took:?}");
}

/// One has its turn, the others are in line.
#[tokio::test(start_paused = true)]
async fn an_abort_or_a_close_ends_the_wait() {
    for (abort, expected) in [(true, ErrorKind::Undelivered), (false, ErrorKind::Closed)] {
        let limit = Arc::new(RateLimit::new(Memory::new(), 1).unwrap());
        AsyncSink::write(&*limit, &0).await.unwrap();
        let start = Instant::now();
        let waiting = [1, 2, 3].map(|event| {
            let limit = Arc::clone(&limit);
            tokio::spawn(async move { AsyncSink::write(&*limit, &event).await })
        });
        tokio::task::yield_now().await;
        if abort {
            limit.abort();
        } else {
            drop(limit.close());
        }
        for write in waiting {
            assert_eq!(kind(write.await.unwrap()), Some(expected));
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        limit.close().await.unwrap();
        assert_eq!(kind(AsyncSink::write(&*limit, &4).await), Some(ErrorKind::Closed));
        assert_eq!(limit.get_ref().events(), [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_dropped_leaves_the_line() {
    let limit = RateLimit::new(Memory::new(), 1).unwrap();
    AsyncSink::write(&limit, &0).await.unwrap();
    {
        let mut dropped = pin!(AsyncSink::write(&limit, &1));
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    AsyncSink::write(&limit, &2).await.unwrap();
    assert_eq!(limit.get_ref().events(), [0, 2]);
}

#[test]
fn an_abort_wakes_a_thread_that_waits() {
    let limit = Arc::new(RateLimit::new(Memory::new(), 1).unwrap());
    let writer = {
        let limit = Arc::clone(&limit);
        // Faster than the rate for as long as it is let.
        thread::spawn(move || (0..).find_map(|event| Sink::write(&*limit, &event).err()))
    };
    while limit.get_ref().is_empty() {
        thread::yield_now();
    }
    limit.abort();
    let ended = writer.join().unwrap().unwrap();
    assert!(matches!(ended.kind(), ErrorKind::Undelivered | ErrorKind::Closed), "{ended:?}");
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let settings = [0, 100_000_001].map(|rate| RateLimit::new(Memory::<u8>::new(), rate));
    assert!(settings.iter().all(|it| it.as_ref().unwrap_err().setting() == "per_second"));
    let no_burst = RateLimit::new(Memory::<u8>::new(), 1).unwrap().burst(0);
    assert_eq!(no_burst.unwrap_err().setting(), "burst");
}

#[test]
fn it_keeps_the_contract() {
    Suite::wrapper(|destination| RateLimit::new(destination, 1_000_000).unwrap()).run();
    Suite::async_wrapper(|destination| RateLimit::new(destination, 1_000_000).unwrap()).run();
}
