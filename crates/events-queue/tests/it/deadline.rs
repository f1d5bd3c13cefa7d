//! `close_within` and `abort` over sinks that do not answer.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

#[cfg(feature = "tokio")]
use events_core::{AsyncSink, Closing};
use events_core::{Close, ErrorKind, Memory, Sink, SinkError, engine::park::block_on};
use events_queue::{DeadLetter, Overflow, Queue};
use parking_lot::Mutex;

use crate::support::{HANG, Script, assert_kind, assert_stats, assert_undelivered, in_time};

const SOON: Duration = Duration::from_millis(5);

type Dead = Arc<Memory<DeadLetter<u64>>>;

fn events(dead: &Dead) -> Vec<u64> {
    dead.take().iter().map(|letter| letter.event).collect()
}

/// A sink that tries the same event for ever, until it is aborted: what `Retry` does.
struct Forever {
    aborted: Mutex<Option<mpsc::Sender<()>>>,
    wait: Mutex<mpsc::Receiver<()>>,
}

impl Forever {
    fn new() -> Self {
        let (aborted, wait) = mpsc::channel();
        Self { aborted: Mutex::new(Some(aborted)), wait: Mutex::new(wait) }
    }
}

impl Close for Forever {
    fn abort(&self) {
        drop(self.aborted.lock().take());
    }
}

impl Sink<u64> for Forever {
    fn write(&self, _event: &u64) -> Result<(), SinkError> {
        let _aborted = self.wait.lock().recv();
        Err(SinkError::unavailable("gave up"))
    }
}

#[test]
fn seed_02_a_sink_that_never_succeeds_is_given_up_at_the_deadline() {
    let dead = Dead::default();
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(Forever::new()).unwrap();
    for event in 0..500 {
        Sink::write(&queue, &event).unwrap();
    }
    let (queue, result) = in_time(move || {
        let result = queue.close_within(SOON).wait();
        (queue, result)
    });
    assert_undelivered(result, 500);
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.pending), (500, 0, 0));
    assert_eq!(stats.failed + stats.dropped.abandoned, 500);
    // Whoever closes later is told the same.
    assert_undelivered(queue.close().wait(), 500);
    assert_eq!(events(&dead), (0..500).collect::<Vec<_>>());
}

#[test]
fn seed_03_a_channel_that_nobody_reads_is_given_up_at_the_deadline() {
    let dead = Dead::default();
    let (channel, events_left) = events_queue::ChannelSink::bounded(2).unwrap();
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(channel).unwrap();
    for event in 0..10 {
        Sink::write(&queue, &event).unwrap();
    }
    crate::support::until(|| events_left.is_full());
    let result = in_time(move || queue.close_within(SOON).wait());
    assert_undelivered(result, 8);
    assert_eq!(events_left.iter().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(events(&dead), (2..10).collect::<Vec<_>>());
}

#[test]
fn seed_04_what_an_abort_gives_up_is_counted_and_handed_on() {
    let dead = Dead::default();
    let script = Script::new().shut();
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(script.clone()).unwrap();
    for event in 0..5 {
        Sink::write(&queue, &event).unwrap();
    }
    script.entered();
    queue.abort();
    assert_kind(Sink::write(&queue, &5), ErrorKind::Closed);
    script.open();
    let (queue, result) = in_time(move || {
        let result = queue.close().wait();
        (queue, result)
    });
    // The first was in the sink's hands, and got through.
    assert_undelivered(result, 4);
    assert_stats(&queue, [5, 1, 0, 0, 4, 0]);
    assert_eq!(events(&dead), [1, 2, 3, 4]);
    assert_eq!((script.closes(), script.aborts()), (1, 1));
}

#[test]
fn a_sink_that_blocks_its_thread_for_ever_is_left_behind() {
    let dead = Dead::default();
    let script = Script::new().shut();
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(script.clone()).unwrap();
    for event in 0..300 {
        Sink::write(&queue, &event).unwrap();
    }
    script.entered();
    let (queue, result) = in_time(move || {
        let result = queue.close_within(SOON).wait();
        (queue, result)
    });
    assert_undelivered(result, 300);
    assert_stats(&queue, [300, 0, 0, 0, 300, 0]);
    assert_eq!(events(&dead), (0..300).collect::<Vec<_>>());
    // A late answer changes nothing that was said.
    script.open();
    crate::support::until(|| !script.delivered().is_empty());
    assert_stats(&queue, [300, 0, 0, 0, 300, 0]);
    assert_undelivered(queue.close().wait(), 300);
    assert!(events(&dead).is_empty());
}

#[test]
fn a_batch_that_blocks_its_thread_for_ever_is_left_behind() {
    let dead = Dead::default();
    let script = Script::new().shut();
    let queue = Queue::builder()
        .batch(10, Duration::ZERO)
        .dead_letter(Arc::clone(&dead))
        .spawn(script.clone())
        .unwrap();
    for event in 0..35 {
        Sink::write(&queue, &event).unwrap();
    }
    script.entered();
    let (queue, result) = in_time(move || {
        let result = queue.close_within(SOON).wait();
        (queue, result)
    });
    assert_undelivered(result, 35);
    assert_stats(&queue, [35, 0, 0, 0, 35, 0]);
    assert_eq!(events(&dead), (0..35).collect::<Vec<_>>());
}

#[test]
fn what_a_stuck_sink_holds_is_no_overflow() {
    let dead = Dead::default();
    let script = Script::new().shut();
    let queue = Queue::builder()
        .capacity(2)
        .overflow(Overflow::DropOldest)
        .dead_letter(Arc::clone(&dead))
        .spawn(script.clone())
        .unwrap();
    Sink::write(&queue, &0).unwrap();
    script.entered();
    for event in 1..=5 {
        Sink::write(&queue, &event).unwrap();
    }
    assert_stats(&queue, [6, 0, 0, 3, 0, 3]);
    let (queue, result) = in_time(move || {
        let result = queue.close_within(SOON).wait();
        (queue, result)
    });
    assert_undelivered(result, 3);
    assert_stats(&queue, [6, 0, 0, 3, 3, 0]);
    assert_eq!(events(&dead), [0, 4, 5]);
}

#[test]
fn a_sink_whose_close_hangs_is_left_behind() {
    let script = Script::never_closing();
    let queue = Queue::spawn(script.clone());
    Sink::write(&queue, &0).unwrap();
    let (queue, result) = in_time(move || {
        let result = queue.close_within(SOON).wait();
        (queue, result)
    });
    // Nothing is undelivered, but the close of the sink has not been seen to end.
    assert_kind(result, ErrorKind::Unavailable);
    assert_stats(&queue, [1, 1, 0, 0, 0, 0]);
    assert_kind(queue.close().wait(), ErrorKind::Unavailable);
}

#[test]
fn a_sink_that_never_succeeds_and_never_closes_tells_both() {
    let dead = Dead::default();
    let script = Script::never_closing().shut();
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(script.clone()).unwrap();
    for event in 0..3 {
        Sink::write(&queue, &event).unwrap();
    }
    script.entered();
    let error = in_time(move || queue.close_within(SOON).wait().unwrap_err());
    let kinds: Vec<_> = error.errors().iter().map(SinkError::kind).collect();
    assert_eq!(kinds, [ErrorKind::Undelivered, ErrorKind::Unavailable]);
    assert_eq!(events(&dead), [0, 1, 2]);
}

#[test]
fn the_close_of_a_stuck_task_is_waited_for_and_its_error_told() {
    // Polled by a thread, so that the worker answers the take-over at once.
    let script = Script::never_closing().shut();
    let (queue, worker) = Queue::pair(script.clone());
    thread::spawn(|| block_on(worker));
    Sink::write(&queue, &0).unwrap();
    script.entered();
    let error = in_time(move || queue.close_within(SOON).wait().unwrap_err());
    let kinds: Vec<_> = error.errors().iter().map(SinkError::kind).collect();
    assert_eq!(kinds, [ErrorKind::Undelivered, ErrorKind::Unavailable]);
}

#[test]
fn a_close_by_a_deadline_that_is_not_needed_is_a_close() {
    let memory = Arc::new(Memory::new());
    let queue = Queue::spawn(Arc::clone(&memory));
    for event in 0..100 {
        Sink::write(&queue, &event).unwrap();
    }
    queue.close_within(HANG).wait().unwrap();
    assert_eq!(memory.take(), (0..100).collect::<Vec<_>>());
}

#[test]
fn many_closers_with_many_deadlines_get_one_result() {
    let dead = Dead::default();
    let script = Script::new().shut();
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(script.clone()).unwrap();
    for event in 0..50 {
        Sink::write(&queue, &event).unwrap();
    }
    let closers: Vec<_> = (0..6)
        .map(|closer| {
            let (queue, dead) = (queue.clone(), Arc::clone(&dead));
            thread::spawn(move || {
                let result = match closer {
                    0 | 1 => queue.close().wait(),
                    _ => queue.close_within(SOON * closer).wait(),
                };
                (result, dead.len())
            })
        })
        .collect();
    for closer in closers {
        let (result, letters) = in_time(|| closer.join().unwrap());
        assert_undelivered(result, 50);
        assert_eq!(letters, 50, "the close ended before all was handed on");
    }
}

/// Keeps letters, but not before it is let go on.
#[derive(Clone)]
struct SlowLetters(Dead, Script);

impl Close for SlowLetters {}

impl Sink<DeadLetter<u64>> for SlowLetters {
    fn write(&self, letter: &DeadLetter<u64>) -> Result<(), SinkError> {
        Sink::write(&self.1, &letter.event)?;
        Sink::write(&*self.0, letter)
    }
}

#[test]
fn no_close_ends_before_the_last_dead_letter_is_handed_on() {
    let (script, post) = (Script::new().shut(), Script::new().shut());
    let letters = SlowLetters(Dead::default(), post.clone());
    let queue = Queue::builder().dead_letter(letters.clone()).spawn(script.clone()).unwrap();
    for event in 0..3 {
        Sink::write(&queue, &event).unwrap();
    }
    script.entered();
    let (tell, told) = mpsc::channel();
    for limit in [SOON, HANG] {
        let (queue, dead, tell) = (queue.clone(), Arc::clone(&letters.0), tell.clone());
        thread::spawn(move || {
            let result = queue.close_within(limit).wait();
            tell.send((result, dead.len())).unwrap();
        });
    }
    // The first closer hands on what the sink holds; meanwhile the sink answers after all.
    assert_eq!(post.entered(), 0);
    script.open();
    crate::support::until(|| script.closes() > 0 || queue.stats().pending == 0);
    // A closer that is too early has a moment to show it.
    let early = told.recv_timeout(Duration::from_millis(100)).is_ok();
    post.open();
    assert!(!early, "a close ended before the letters were handed on");
    for _ in 0..2 {
        let (result, letters) = told.recv_timeout(HANG).unwrap();
        assert_undelivered(result, 3);
        assert_eq!(letters, 3);
    }
}

#[test]
fn a_nested_queue_gives_its_backlog_up_too() {
    let dead = Dead::default();
    let script = Script::new().shut();
    let inner =
        Queue::builder().capacity(3).dead_letter(Arc::clone(&dead)).spawn(script.clone()).unwrap();
    let outer = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(inner.clone()).unwrap();
    for event in 0..10 {
        Sink::write(&outer, &event).unwrap();
    }
    script.entered();
    crate::support::until(|| outer.stats().delivered == 3);
    let error = in_time(move || outer.close_within(SOON).wait().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Undelivered);
    let mut given_up = events(&dead);
    given_up.sort_unstable();
    assert_eq!(given_up, (0..10).collect::<Vec<_>>());
    assert_stats(&inner, [3, 0, 0, 0, 3, 0]);
}

/// A sink whose write waits for a timer of its own runtime, as a bridge between worlds does.
#[cfg(feature = "tokio")]
struct Bridge(tokio::runtime::Runtime, Queue<u64>);

#[cfg(feature = "tokio")]
impl Close for Bridge {
    fn close(&self) -> Closing<'_> {
        self.1.close()
    }
}

#[cfg(feature = "tokio")]
impl Sink<u64> for Bridge {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        self.0.block_on(AsyncSink::write(&self.1, event))
    }
}

#[cfg(feature = "tokio")]
#[test]
fn a_sink_for_threads_may_run_tasks_with_timers_of_their_own() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let script = Script::new().shut();
    let inner = Queue::builder()
        .capacity(1)
        .overflow(Overflow::BlockFor(SOON))
        .spawn(script.clone())
        .unwrap();
    Sink::write(&inner, &0).unwrap();
    script.entered();
    let outer = Queue::spawn(Bridge(runtime, inner));
    Sink::write(&outer, &1).unwrap();
    let outer = in_time(move || {
        outer.flush().wait().unwrap();
        outer
    });
    assert_stats(&outer, [1, 0, 1, 0, 0, 0]);
    script.open();
    assert_undelivered(in_time(move || outer.close().wait()), 1);
}
