//! How a broadcaster ends.

use std::{
    future::{pending, poll_fn},
    sync::{Arc, atomic::Ordering, mpsc},
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use events_broadcast::Broadcaster;
use events_core::{Close, Closing, ErrorKind, Memory, Sink, SinkError};
use parking_lot::Mutex;

use crate::support::{Blocked, Hook, Recorder, assert_balanced};

/// Closes with an error, or never.
struct Ends(Option<&'static str>);

impl Close for Ends {
    fn close(&self) -> Closing<'_> {
        match self.0 {
            Some(problem) => Closing::ended(Err(SinkError::unavailable(problem))),
            None => Closing::new(pending()),
        }
    }
}

impl Sink<u64> for Ends {
    fn write(&self, _event: &u64) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn seed_26_a_close_tells_every_error() {
    let all = Broadcaster::new();
    all.add(Arc::new(Ends(Some("the first")))).unwrap();
    all.add(Recorder::new()).unwrap();
    all.add(Arc::new(Ends(Some("the second")))).unwrap();
    all.spawn(Ends(Some("the third")));
    let error = all.close().wait().unwrap_err();
    let told = format!("{error:?}");
    for problem in ["the first", "the second", "the third"] {
        assert!(told.contains(problem), "{told}");
    }
    let again = all.close().wait().unwrap_err();
    assert_eq!(format!("{again:?}"), told, "every closer gets the same");
}

#[test]
fn seed_26_writes_are_closed_while_a_sink_still_closes() {
    let all = Broadcaster::new();
    all.add(Arc::new(Ends(None))).unwrap();
    let closing = all.close();
    assert_eq!(all.write(&1).unwrap_err().kind(), ErrorKind::Closed);
    drop(closing);
}

#[test]
fn seed_03_a_deadline_ends_a_close_over_sinks_that_are_stuck() {
    let all = Broadcaster::new();
    all.add(Arc::new(Ends(None))).unwrap();
    let (blocked, entered) = Blocked::new();
    let dead = Arc::new(Memory::new());
    let stuck =
        all.subscriber().dead_letter(Arc::clone(&dead)).spawn(Arc::clone(&blocked)).unwrap();
    let quick = Recorder::new();
    all.spawn(Arc::clone(&quick));
    for event in 0..300 {
        all.write(&event).unwrap();
    }
    entered.recv().unwrap();
    let error = all.close_within(Duration::from_millis(10)).wait().unwrap_err();
    assert_eq!(error.undelivered(), Some(300));
    assert!(format!("{error:?}").contains("did not close in time"));
    assert!(dead.events().iter().map(|letter| letter.event).eq(0..300), "each one, in order");
    assert_eq!(quick.events().len(), 300);
    let stats = stuck.stats();
    assert_eq!((stats.dropped.abandoned, stats.pending), (300, 0));
    assert_balanced(&stats);
    blocked.open();
}

#[test]
fn closing_from_inside_a_direct_sink_is_refused_the_wait() {
    let all = Broadcaster::new();
    let hook = Arc::new(Hook::default());
    all.add(hook.clone()).unwrap();
    let other = Recorder::new();
    all.add(other.clone()).unwrap();
    let answer = Arc::new(Mutex::new(None));
    hook.set({
        let (all, answer) = (all.clone(), answer.clone());
        move |_| {
            *answer.lock() = all.close().wait().err().map(|error| error.kind());
            Ok(())
        }
    });
    assert_eq!(all.write(&1).unwrap_err().kind(), ErrorKind::Closed, "it did not reach all");
    assert_eq!(*answer.lock(), Some(ErrorKind::WouldDeadlock));
    all.close().wait().unwrap();
    assert!(other.closed.load(Ordering::Relaxed), "the close had begun, and went on");
}

#[test]
fn closing_from_inside_a_spawned_sink_is_refused_the_wait() {
    let all = Broadcaster::new();
    let hook = Arc::new(Hook::default());
    let (sender, answer) = mpsc::channel();
    hook.set({
        let all = all.clone();
        move |_| {
            sender.send(all.close().wait().unwrap_err().kind()).unwrap();
            Ok(())
        }
    });
    let delivery = all.spawn(hook);
    all.spawn(Recorder::new());
    all.write(&1).unwrap();
    assert_eq!(answer.recv().unwrap(), ErrorKind::WouldDeadlock);
    all.close().wait().unwrap();
    assert_eq!(delivery.stats().delivered, 1);
}

#[test]
fn all_closers_wait_for_one_end() {
    let all = Broadcaster::new();
    let (blocked, entered) = Blocked::new();
    all.spawn(Arc::clone(&blocked));
    all.write(&1).unwrap();
    entered.recv().unwrap();
    let (done, ends) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..4 {
            let (all, done) = (&all, done.clone());
            scope.spawn(move || done.send(all.close().wait()).unwrap());
        }
        assert!(ends.try_recv().is_err());
        blocked.open();
    });
    drop(done);
    assert_eq!(ends.iter().map(Result::unwrap).count(), 4);
    assert_eq!(blocked.recorder.closes.load(Ordering::Relaxed), 1);
}

#[test]
fn a_subscriber_that_reads_nothing_holds_up_no_close() {
    let all = Broadcaster::new();
    let subscription = all.subscribe();
    all.write(&1).unwrap();
    all.close().wait().unwrap();
    assert_eq!(subscription.pending(), 1);
}

/// The one that is asked first may depend on the one that asks.
#[test]
fn flushing_from_inside_a_spawned_sink_is_refused_before_any_wait() {
    let all = Broadcaster::new();
    let (blocked, _entered) = Blocked::new();
    all.spawn(Arc::clone(&blocked));
    let hook = Arc::new(Hook::default());
    let (sender, answer) = mpsc::channel();
    hook.set({
        let all = all.clone();
        move |_| {
            sender.send(all.flush().wait().unwrap_err().kind()).unwrap();
            Ok(())
        }
    });
    all.spawn(hook);
    all.write(&1).unwrap();
    let answer = answer.recv_timeout(Duration::from_secs(20));
    blocked.open();
    assert_eq!(answer, Ok(ErrorKind::WouldDeadlock));
    all.close().wait().unwrap();
}

/// Its close ends once it is aborted.
#[derive(Default)]
struct EndsWhenAborted(Mutex<(bool, Option<Waker>)>);

impl Close for EndsWhenAborted {
    fn close(&self) -> Closing<'_> {
        Closing::new(poll_fn(|cx| {
            let mut state = self.0.lock();
            state.1 = Some(cx.waker().clone());
            if state.0 { Poll::Ready(Ok(())) } else { Poll::Pending }
        }))
    }

    fn abort(&self) {
        let mut state = self.0.lock();
        state.0 = true;
        let waiting = state.1.take();
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Sink<u64> for EndsWhenAborted {
    fn write(&self, _event: &u64) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn an_abort_reaches_a_member_that_left_after_the_close_began() {
    let all = Broadcaster::<u64>::new();
    let member = all.add(Arc::new(EndsWhenAborted::default())).unwrap();
    drop(all.close());
    assert!(all.remove(member).is_some());
    all.abort();
    let (told, ended) = mpsc::channel();
    thread::spawn(move || told.send(all.close().wait().is_ok()));
    assert_eq!(ended.recv_timeout(Duration::from_secs(20)), Ok(true));
}
