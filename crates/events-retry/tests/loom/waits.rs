//! The interruptible wait. In a model no time passes, so only an answer or the end ends one.

use std::{
    error::Error,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use events_core::{
    AsyncSink, Close, Closing, ErrorKind, Progress, RetryStrategy, Sink, SinkError, Verdict,
};
use events_retry::Retry;
use loom::{
    sync::atomic::{AtomicU64, Ordering},
    thread::{self, JoinHandle},
};

use crate::check;

const HOUR: Verdict = Verdict::Wait(Duration::from_hours(1));

/// An event waits until as many were answered as its number says, if that ever happens.
#[derive(Default)]
struct Follow {
    answered: AtomicU64,
}

impl RetryStrategy<u64> for Follow {
    fn proceed(&self, event: &u64, _progress: &Progress) -> Verdict {
        if self.answered.load(Ordering::Acquire) >= *event { Verdict::Go } else { HOUR }
    }

    fn success(&self, _event: &u64, _progress: &Progress) {
        self.answered.fetch_add(1, Ordering::AcqRel);
    }

    fn release(&self, _event: &u64, _progress: &Progress) {
        self.answered.fetch_add(1, Ordering::AcqRel);
    }
}

/// Takes what is not its poison.
struct Destination {
    poison: Option<u64>,
}

impl Close for Destination {
    fn close(&self) -> Closing<'_> {
        Closing::done()
    }
}

impl Sink<u64> for Destination {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        if self.poison == Some(*event) { Err(SinkError::rejected("poison")) } else { Ok(()) }
    }
}

impl AsyncSink<u64> for Destination {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        Sink::write(self, event)
    }
}

type Model = Arc<Retry<Destination, Follow>>;

fn retry(poison: Option<u64>) -> Model {
    Arc::new(Retry::new(Destination { poison }, Follow::default()))
}

/// Writes `event` on a thread of its own.
fn write(retry: &Model, event: u64) -> JoinHandle<Result<(), SinkError>> {
    let retry = Arc::clone(retry);
    thread::spawn(move || Sink::write(&*retry, &event))
}

#[test]
fn a_success_ends_the_waits_however_late_they_begin() {
    check(2, || {
        let retry = retry(None);
        let writers = [write(&retry, 2), write(&retry, 2)];
        Sink::write(&*retry, &0).unwrap();
        Sink::write(&*retry, &0).unwrap();
        for writer in writers {
            writer.join().unwrap().unwrap();
        }
        assert_eq!(retry.stats().successes, 4);
    });
}

#[test]
fn every_other_answer_does_too() {
    check(4, || {
        let retry = retry(Some(0));
        let poison = write(&retry, 0);
        Sink::write(&*retry, &1).unwrap();
        assert_eq!(poison.join().unwrap().unwrap_err().kind(), ErrorKind::Rejected);
        let stats = retry.stats();
        assert_eq!((stats.successes, stats.refused), (1, 1));
    });
}

#[test]
fn one_that_gives_up_waiting_leaves_the_other_to_be_woken() {
    check(2, || {
        let retry = retry(None);
        let leaves = {
            let retry = Arc::clone(&retry);
            thread::spawn(move || {
                let mut write = pin!(AsyncSink::write(&*retry, &2));
                write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
            })
        };
        let stays = write(&retry, 2);
        Sink::write(&*retry, &0).unwrap();
        Sink::write(&*retry, &0).unwrap();
        stays.join().unwrap().unwrap();
        let written = leaves.join().unwrap();
        assert_eq!(retry.stats().successes, 3 + u64::from(written));
    });
}

#[test]
fn the_end_ends_the_waits() {
    let ends: [(fn(&Model), _); 2] = [
        (|retry| retry.abort(), ErrorKind::Undelivered),
        (|retry| retry.close().wait().unwrap(), ErrorKind::Closed),
    ];
    for (end, kind) in ends {
        check(3, move || {
            let retry = retry(None);
            let writers = [write(&retry, 1), write(&retry, 2)];
            end(&retry);
            for error in writers.map(|writer| writer.join().unwrap().unwrap_err()) {
                // One that came too late never began, and has no reason.
                let expected = if error.source().is_some() { kind } else { ErrorKind::Closed };
                assert_eq!(error.kind(), expected);
            }
        });
    }
}
