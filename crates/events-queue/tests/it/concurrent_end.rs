//! How several deliveries at a time end: close, deadline, abort and drop.

use std::{
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::Duration,
};

use events_core::{
    AsyncSink, Close, Closing, ErrorKind, Memory, Sink, SinkError, engine::park::block_on,
};
use events_queue::{Builder, DeadLetter, Queue, Single};
use parking_lot::Mutex;

use crate::support::{
    Script, assert_balanced, assert_kind, assert_stats, assert_undelivered, in_time, poll_once,
    sorted, started, until, write_all,
};

type Dead = Arc<Memory<DeadLetter<u64>>>;

fn side_by_side(events: usize) -> Builder<u64, Single> {
    Queue::builder().concurrency(events)
}

/// Takes everything; its close fails.
struct FailsToClose(Script);

impl Close for FailsToClose {
    fn close(&self) -> Closing<'_> {
        drop(self.0.close());
        Closing::ended(Err(SinkError::unavailable("the disk is full")))
    }
}

impl Sink<u64> for FailsToClose {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        Sink::write(&self.0, event)
    }
}

#[test]
fn the_sink_is_closed_once_after_the_last_event_and_every_closer_is_told_once() {
    let script = Script::new().shut();
    let queue = side_by_side(4).spawn(FailsToClose(script.clone())).unwrap();
    write_all(&queue, 0..3);
    for _ in 0..3 {
        script.entered();
    }
    let closers: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            thread::spawn(move || queue.close().wait())
        })
        .collect();
    drop(queue.close());
    script.pass();
    script.pass();
    until(|| script.delivered().len() == 2);
    assert_eq!(script.closes(), 0);
    script.open();
    for closer in closers {
        let error = in_time(|| closer.join().unwrap().unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.errors().is_empty(), "{error:?}");
    }
    assert_eq!(script.closes(), 1);
    assert_kind(Sink::write(&queue, &9), ErrorKind::Closed);
    assert_stats(&queue, [3, 3, 0, 0, 0, 0]);
}

#[test]
fn a_deadline_gives_up_all() {
    let threads: fn(Builder<u64, Single>, Script) -> Queue<u64> =
        |queue, to| queue.spawn(to).unwrap();
    let future: fn(Builder<u64, Single>, Script) -> Queue<u64> =
        |queue, to| started(queue.pair(to).unwrap());
    for start in [threads, future] {
        let dead = Dead::default();
        let script = Script::new().shut();
        let queue = start(side_by_side(3).dead_letter(Arc::clone(&dead)), script.clone());
        write_all(&queue, 0..30);
        for _ in 0..3 {
            script.entered();
        }
        let (queue, result) = in_time(move || {
            let result = queue.close_within(Duration::from_millis(5)).wait();
            (queue, result)
        });
        let error = result.unwrap_err();
        assert_eq!(error.undelivered(), Some(30));
        assert!(error.errors().is_empty(), "{error:?}");
        assert_stats(&queue, [30, 0, 0, 0, 30, 0]);
        let letters = dead.take().iter().map(|letter| letter.event).collect();
        assert_eq!(sorted(letters), (0..30).collect::<Vec<_>>());
        assert_eq!((script.aborts(), script.closes()), (1, 1));
        // A late answer changes nothing that was said.
        script.open();
        assert_eq!(queue.close().wait().unwrap_err().undelivered(), Some(30));
        assert_stats(&queue, [30, 0, 0, 0, 30, 0]);
        assert_eq!(script.closes(), 1);
    }
}

#[test]
fn an_abort_gives_up_what_nobody_has_begun() {
    let dead = Dead::default();
    let script = Script::new().shut();
    let queue = side_by_side(2).dead_letter(Arc::clone(&dead)).spawn(script.clone()).unwrap();
    write_all(&queue, 0..6);
    script.entered();
    script.entered();
    queue.abort();
    queue.abort();
    assert_kind(Sink::write(&queue, &6), ErrorKind::Closed);
    script.open();
    let (queue, result) = in_time(move || {
        let result = queue.close().wait();
        (queue, result)
    });
    assert_eq!(result.unwrap_err().undelivered(), Some(4));
    assert_stats(&queue, [6, 2, 0, 0, 4, 0]);
    assert_eq!(dead.len(), 4);
    assert_eq!(script.closes(), 1);
}

/// Holds writes until it is aborted, and is closed then.
struct ClosedByAbort {
    queue: OnceLock<Queue<u64>>,
    held: mpsc::Sender<()>,
    aborted: (Mutex<Option<mpsc::Sender<()>>>, Mutex<mpsc::Receiver<()>>),
}

impl Close for ClosedByAbort {
    fn abort(&self) {
        drop(self.aborted.0.lock().take());
        // All have heard the answer while the abort is under way.
        until(|| self.queue.get().unwrap().stats().pending == 0);
    }
}

impl Sink<u64> for ClosedByAbort {
    fn write(&self, _event: &u64) -> Result<(), SinkError> {
        self.held.send(()).unwrap();
        self.aborted.1.lock().recv().unwrap_err();
        Err(SinkError::closed())
    }
}

#[test]
fn what_an_abort_closes_is_given_up() {
    let (held, is_held) = mpsc::channel();
    let (abort, aborted) = mpsc::channel();
    let aborted = (Mutex::new(Some(abort)), Mutex::new(aborted));
    let sink = Arc::new(ClosedByAbort { queue: OnceLock::new(), held, aborted });
    let queue = side_by_side(4).spawn(Arc::clone(&sink)).unwrap();
    sink.queue.set(queue.clone()).unwrap();
    write_all(&queue, 0..4);
    (0..4).for_each(|_| is_held.recv().unwrap());
    let (queue, result) = in_time(move || {
        queue.abort();
        let result = queue.close().wait();
        (queue, result)
    });
    let error = result.unwrap_err();
    assert_eq!((error.undelivered(), error.errors().len()), (Some(4), 0));
    assert_stats(&queue, [4, 0, 0, 0, 4, 0]);
}

#[test]
fn one_that_is_idle_waits_for_those_that_a_deadline_gives_up() {
    let (let_go, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let script = Script::answering(move |event| {
        if event > 0 {
            let _gone = held.lock().recv();
        }
        Ok(())
    });
    let queue = side_by_side(3).spawn(script.clone()).unwrap();
    write_all(&queue, [0]);
    // One has nothing left to do, the others have no end.
    until(|| queue.stats().delivered == 1);
    write_all(&queue, 1..3);
    script.entered();
    script.entered();
    drop(queue.close());
    let error = in_time(move || queue.close_within(Duration::from_millis(5)).wait().unwrap_err());
    assert_eq!((error.undelivered(), error.errors().len()), (Some(2), 0), "{error:?}");
    assert_eq!((script.aborts(), script.closes()), (1, 1));
    drop(let_go);
}

#[test]
fn a_sink_whose_close_hangs_is_left_behind() {
    let script = Script::never_closing().shut();
    let queue = side_by_side(3).spawn(script.clone()).unwrap();
    write_all(&queue, 0..2);
    script.entered();
    let error = in_time(move || queue.close_within(Duration::from_millis(5)).wait().unwrap_err());
    let kinds: Vec<_> = error.errors().iter().map(SinkError::kind).collect();
    assert_eq!(kinds, [ErrorKind::Undelivered, ErrorKind::Unavailable]);
    assert_eq!(error.undelivered(), Some(2));
    assert_eq!(script.closes(), 1);
}

#[test]
fn a_destination_that_is_gone_for_one_is_for_all() {
    let (let_go, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let script = Script::answering(move |event| {
        if event == 0 {
            return Err(SinkError::closed());
        }
        held.lock().recv().unwrap();
        Ok(())
    });
    let queue = side_by_side(3).spawn(script.clone()).unwrap();
    write_all(&queue, [1]);
    assert_eq!(script.entered(), 1);
    write_all(&queue, [0]);
    // The others know, though one is idle and one is at work.
    until(|| queue.stats().failed == 1);
    until(|| (2..9).all(|event| Sink::write(&queue, &event).is_err()));
    assert_eq!(script.closes(), 0);
    let_go.send(()).unwrap();
    drop(let_go);
    let (queue, result) = in_time(move || {
        let result = queue.close().wait();
        (queue, result)
    });
    assert_undelivered(result, queue.stats().failed);
    assert_eq!(queue.stats().pending, 0);
    assert_balanced(&queue.stats());
    assert_eq!(script.closes(), 1);
}

#[test]
fn nothing_more_is_taken_for_a_destination_that_is_gone() {
    let script = Script::answering(|event| match event {
        0 => Err(SinkError::closed()),
        _ => Ok(()),
    });
    let queue = Queue::builder()
        .concurrency(4)
        .ordered_by(|event: &u64| *event)
        .spawn(script.clone())
        .unwrap();
    write_all(&queue, [0]);
    until(|| (1..50).all(|event| Sink::write(&queue, &event).is_err()));
    in_time(move || assert_undelivered(queue.close().wait(), queue.stats().failed));
    assert_eq!(script.closes(), 1);
}

#[test]
fn the_last_handles_drop_ends_all() {
    let memory = Arc::new(Memory::new());
    let queue = side_by_side(3).spawn(Arc::clone(&memory)).unwrap();
    write_all(&queue, 0..100);
    drop(queue.clone());
    write_all(&queue, [100]);
    drop(queue);
    // The workers let go of the sink when their threads end.
    until(|| Arc::strong_count(&memory) == 1);
    assert_eq!(sorted(memory.events()), (0..=100).collect::<Vec<_>>());
    assert_kind(Sink::write(&*memory, &0), ErrorKind::Closed);
}

#[test]
fn a_dropped_worker_ends_the_account() {
    let dead = Dead::default();
    let script = Script::new().shut();
    for is_polled in [false, true] {
        let queue = side_by_side(3).dead_letter(Arc::clone(&dead));
        let (queue, worker) = queue.pair(script.clone()).unwrap();
        let mut worker = Box::pin(worker);
        block_on(async {
            for event in 0..10 {
                AsyncSink::write(&queue, &event).await.unwrap();
            }
        });
        if is_polled {
            assert!(poll_once(&mut worker).is_pending());
            assert_eq!(sorted((0..3).map(|_| script.entered()).collect()), [0, 1, 2]);
        }
        drop(worker);
        let error = block_on(queue.close()).unwrap_err();
        assert_eq!(error.undelivered(), Some(10));
        assert_eq!(error.errors().len(), 2, "{error:?}");
        assert_stats(&queue, [10, 0, 0, 0, 10, 0]);
        assert_eq!(dead.take().len(), 10);
        assert_eq!(script.closes(), 1 + u64::from(is_polled));
    }
}

type Wait = fn(&Queue<u64>, u64) -> Result<(), SinkError>;

/// A sink that is given its own queue and waits for it in each of its writes, and in its close.
#[derive(Default)]
struct Inside {
    queue: Mutex<Option<Queue<u64>>>,
    refused: Memory<bool>,
    waits: Option<Wait>,
}

impl Inside {
    fn wait(&self, wait: impl Fn(&Queue<u64>) -> Result<(), SinkError>) {
        let queue = self.queue.lock().take();
        let Some(queue) = queue else { return };
        let refused = wait(&queue).is_err_and(|error| error.kind() == ErrorKind::WouldDeadlock);
        Sink::write(&self.refused, &refused).unwrap();
    }
}

impl Close for Inside {
    fn close(&self) -> Closing<'_> {
        self.wait(|queue| queue.close().wait());
        Closing::done()
    }
}

impl Sink<u64> for Inside {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        if let Some(wait) = self.waits {
            self.wait(|queue| wait(queue, *event));
        }
        Ok(())
    }
}

#[test]
fn waiting_for_the_queue_from_inside_the_sink_is_refused() {
    let waits: [Wait; 3] = [
        |queue, _| queue.flush().wait(),
        |queue, _| queue.close().wait(),
        // The queue is full of this very event.
        |queue, event| Sink::write(queue, &event),
    ];
    for wait in waits {
        for event in 0..12 {
            let sink = Arc::new(Inside { waits: Some(wait), ..Inside::default() });
            let queue =
                Queue::builder().concurrency(4).ordered_by(|event: &u64| *event).capacity(1);
            let queue = queue.spawn(Arc::clone(&sink)).unwrap();
            *sink.queue.lock() = Some(queue.clone());
            write_all(&queue, [event]);
            until(|| !sink.refused.is_empty());
            in_time(move || queue.close().wait()).unwrap();
            assert_eq!(sink.refused.take(), [true]);
        }
    }
}

#[test]
fn nor_is_another_delivery_waited_for() {
    for writes in 1..3 {
        let (queues, queue) = mpsc::channel::<Queue<u64>>();
        let (let_go, held) = mpsc::channel::<()>();
        let (queue, held) = (Mutex::new(queue), Mutex::new(held));
        let script = Script::answering(move |event| {
            if event == 0 {
                let _gone = held.lock().recv();
                return Ok(());
            }
            let queue = queue.lock().recv().unwrap();
            let results: Vec<_> = (0..writes).map(|_| Sink::write(&queue, &9)).collect();
            results.into_iter().next_back().unwrap()
        });
        let queue = side_by_side(2).capacity(2).spawn(script.clone()).unwrap();
        write_all(&queue, 0..2);
        script.entered();
        script.entered();
        queues.send(queue.clone()).unwrap();
        until(|| queue.stats().failed == 1);
        drop(let_go);
        assert_undelivered(in_time(move || queue.close().wait()), 1);
    }
}

#[test]
fn closing_from_inside_the_sinks_close_is_refused() {
    let sink = Arc::new(Inside::default());
    let queue = side_by_side(3).spawn(Arc::clone(&sink)).unwrap();
    *sink.queue.lock() = Some(queue.clone());
    in_time(move || queue.close().wait()).unwrap();
    assert_eq!(sink.refused.take(), [true]);
}
