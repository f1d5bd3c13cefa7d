//! What the Go original does wrong, row by row of the project's list.

use std::{
    error::Error,
    fmt::Write,
    future::ready,
    pin::pin,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use events_core::{AsyncSink, Close, ErrorKind, MaxAttempts, Memory, Sink, SinkError, sink_fn};
use events_retry::Retry;
use tokio::time::Instant;
use tracing::{Level, Subscriber, field, span};

use crate::support::{Asking, at_once, breaker, kind, unavailable};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn seed_12_close_closes_the_inner_sink() {
    let retry = Retry::new(Memory::new(), at_once(1));
    Sink::write(&retry, &1).unwrap();
    retry.close().await.unwrap();
    assert_eq!(kind(Sink::write(retry.get_ref(), &2)), Some(ErrorKind::Closed));
    assert_eq!(kind(Sink::write(&retry, &2)), Some(ErrorKind::Closed));
    assert_eq!(kind(AsyncSink::write(&retry, &2).await), Some(ErrorKind::Closed));
    assert_eq!(retry.get_ref().events(), [1]);
}

#[test]
fn seed_13_attempts_run_concurrently_as_it_says() {
    let all_are_inside = Barrier::new(8);
    let inner = sink_fn(|_event: &usize| {
        all_are_inside.wait();
        Ok(())
    });
    let retry = Retry::new(inner, at_once(1));
    thread::scope(|scope| {
        for event in 0..8 {
            let retry = &retry;
            scope.spawn(move || retry.write(&event).unwrap());
        }
    });
}

#[tokio::test]
async fn seed_14_giving_up_returns_the_last_error() {
    let calls = AtomicU32::new(0);
    let fail = || {
        let error = match calls.fetch_add(1, Ordering::Relaxed) % 3 {
            2 => SinkError::new(ErrorKind::Full, "third"),
            _ => SinkError::unavailable("first or second"),
        };
        Err(error)
    };
    let threads = Retry::new(sink_fn(|_: &str| fail()), at_once(3));
    let tasks = Retry::new(sink_fn(|_: &str| ready(fail())), at_once(3));
    for result in [Sink::write(&threads, "event"), AsyncSink::write(&tasks, "event").await] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full);
        assert_eq!(error.source().unwrap().to_string(), "third");
    }
    let stats = threads.stats();
    assert_eq!((stats.attempts, stats.failures, stats.given_up), (3, 3, 1));
}

#[test]
fn seed_15_the_kind_alone_says_whether_to_try_again() {
    let inner = sink_fn(|kind: &ErrorKind| {
        Err(SinkError::new(*kind, std::io::Error::other("whatever is behind it")))
    });
    let retry = Retry::new(inner, at_once(4));
    let attempts = |event| {
        let before = retry.stats().attempts;
        assert_eq!(kind(retry.write(&event)), Some(event));
        retry.stats().attempts - before
    };
    assert_eq!(attempts(ErrorKind::Closed), 1);
    assert_eq!(attempts(ErrorKind::Rejected), 1);
    assert_eq!(attempts(ErrorKind::WouldDeadlock), 1);
    assert_eq!(attempts(ErrorKind::Unavailable), 4);
    assert_eq!(attempts(ErrorKind::Full), 4);
    assert_eq!(retry.stats().refused, 3);
}

#[test]
fn seed_16_a_poison_event_does_not_block_those_behind_it() {
    let taken = Memory::new();
    let inner = sink_fn(|event: &&'static str| match *event {
        "malformed" => Err(SinkError::rejected("status 400")),
        "crashes the receiver" => Err(unavailable()),
        _ => Sink::write(&taken, event),
    });
    let retry = Retry::new(inner, at_once(5));
    let written = ["one", "malformed", "two", "crashes the receiver", "three"]
        .map(|event| kind(retry.write(&event)));
    let (rejected, given_up) = (Some(ErrorKind::Rejected), Some(ErrorKind::Unavailable));
    assert_eq!(written, [None, rejected, None, given_up, None]);
    assert_eq!(taken.events(), ["one", "two", "three"]);
    assert_eq!(retry.stats().attempts, 3 + 1 + 5);
}

#[tokio::test(start_paused = true)]
async fn seed_18_one_write_probes_and_its_success_lets_the_others_go_at_once() {
    let (inner, mut attempts) = Asking::new();
    let retry = Arc::new(Retry::new(inner, breaker(Duration::from_secs(10))));
    let start = Instant::now();
    let writes: Vec<_> = (0..100)
        .map(|event| {
            let retry = Arc::clone(&retry);
            tokio::spawn(async move { retry.write(&event).await })
        })
        .collect();
    let mut first = Vec::new();
    attempts.recv_many(&mut first, 100).await;
    while first.len() < 100 {
        first.push(attempts.recv().await.unwrap());
    }
    for attempt in first {
        attempt.send(Err(unavailable())).unwrap();
    }

    let probe = attempts.recv().await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 10);
    tokio::time::sleep(Duration::from_secs(35)).await;
    assert!(attempts.try_recv().is_err(), "a second probe");
    probe.send(Err(unavailable())).unwrap();
    let probe = attempts.recv().await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 55);

    probe.send(Ok(())).unwrap();
    let succeeded = Instant::now();
    for _ in 0..99 {
        attempts.recv().await.unwrap().send(Ok(())).unwrap();
    }
    for write in writes {
        write.await.unwrap().unwrap();
    }
    assert_eq!(succeeded, Instant::now());
    let stats = retry.stats();
    assert_eq!((stats.attempts, stats.successes, stats.retries), (201, 100, 101));
}

#[tokio::test(start_paused = true)]
async fn seed_31_a_cancelled_wait_leaves_nothing_behind() {
    struct Nothing;
    impl Wake for Nothing {
        fn wake(self: Arc<Self>) {}
    }

    let retry = Retry::new(sink_fn(|_: &str| ready(Err(unavailable()))), breaker(HOUR));
    let held = Arc::new(Nothing);
    let waker = Waker::from(Arc::clone(&held));
    {
        let mut write = pin!(AsyncSink::write(&retry, "event"));
        assert!(write.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(Arc::strong_count(&held) > 2, "the wait holds the waker");
    }
    assert_eq!(Arc::strong_count(&held), 2, "only this test does");
}

#[test]
fn seed_32_logs_tell_of_retries_and_never_the_event() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<(Level, String)>>>);

    impl Subscriber for Log {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            let mut line = String::new();
            event.record(&mut |field: &field::Field, value: &dyn std::fmt::Debug| {
                write!(line, "{field}={value:?} ").unwrap();
            });
            self.0.lock().unwrap().push((*event.metadata().level(), line));
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        let inner = sink_fn(|event: &str| Err(SinkError::unavailable(format!("not {event}"))));
        let strategy = MaxAttempts::new(breaker(Duration::from_millis(1)), 3).unwrap();
        Retry::new(inner, strategy).write("the secret").unwrap_err();
    });
    let log = log.0.lock().unwrap();
    let of = |level| log.iter().filter(|(at, _)| *at == level).count();
    assert_eq!(of(Level::ERROR), 0, "{log:?}");
    assert_eq!(of(Level::WARN), 2, "the breaker opens once, the write is given up: {log:?}");
    assert!(of(Level::DEBUG) >= 2, "the first attempts: {log:?}");
    assert!(log.iter().all(|(_, line)| !line.contains("secret")), "{log:?}");
}
