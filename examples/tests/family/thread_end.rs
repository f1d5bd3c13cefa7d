//! A thread that ends may use once more what it has used before, in the destructor of a thread-local:
//! a logger that flushes, most often. The thread-locals that came later are gone by then.

use std::{cell::RefCell, sync::Arc, thread, time::Duration};

use events_broadcast::Broadcaster;
use events_core::{Breaker, Close, Memory, Sink, SinkError, Timeout, is_delivering, sink_fn};
use events_durable::{DurableQueue, Stored};
use events_queue::{ChannelSink, Queue};
use events_retry::{AdaptiveLimit, RateLimit, Retry};

thread_local! {
    static AT_END: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// Does something when its thread ends.
struct Last(Arc<dyn Fn() + Send + Sync>);

impl Drop for Last {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Has a thread do something, and the same once more when it ends. A panic there is the end of the
/// process, so a failure is loud.
fn again_at_the_end(act: impl Fn() + Send + Sync + 'static) {
    let act: Arc<dyn Fn() + Send + Sync> = Arc::new(act);
    let thread = thread::spawn(move || {
        // First, since what a thread uses first goes last.
        AT_END.set(Some(Last(Arc::clone(&act))));
        act();
    });
    thread.join().unwrap();
}

/// A queue with room for one event, whose writers have to wait.
fn small_queue(sink: impl Sink<u64> + 'static) -> Queue<u64> {
    Queue::builder().capacity(1).spawn(sink).unwrap()
}

fn use_a_queue() {
    let queue = small_queue(Memory::<u64>::new());
    for event in 0..100 {
        queue.write(&event).unwrap();
    }
    queue.flush().wait().unwrap();
    queue.close_within(Duration::from_mins(1)).wait().unwrap();
    assert_eq!(queue.stats().delivered, 100);
    assert!(!is_delivering());
    queue.abort();
}

/// A broadcaster in a broadcaster is a delivery inside a delivery.
fn use_a_broadcaster() {
    let (inner, outer) = (Broadcaster::new(), Broadcaster::new());
    let events = inner.subscribe();
    inner.add(Arc::new(small_queue(Memory::<u64>::new()))).unwrap();
    inner.spawn(Memory::<u64>::new());
    outer.add(Arc::new(inner.clone())).unwrap();
    let back = outer.clone();
    let knows = move |_: &u64| match back.close().wait() {
        Err(error) if error.kind() == events_core::ErrorKind::WouldDeadlock => Ok(()),
        other => panic!("the close from inside was {other:?}"),
    };
    outer.add(Arc::new(sink_fn(knows))).unwrap();
    outer.write(&1).unwrap();
    inner.flush().wait().unwrap();
    outer.close().wait().unwrap();
    assert_eq!(events.into_iter().count(), 1);
}

/// Waits between two attempts, and for the limit's permit.
fn use_a_retry() {
    let mut left = 2;
    let calls = std::sync::Mutex::new(move || {
        left -= 1;
        if left < 0 { Ok(()) } else { Err(SinkError::unavailable("not now")) }
    });
    let flaky = sink_fn(move |_: &u64| (calls.lock().unwrap())());
    let limit = AdaptiveLimit::new(flaky, 4).unwrap();
    let retry = Retry::new(limit, Breaker::new(1, Duration::from_millis(1)).unwrap());
    retry.write(&1).unwrap();
    let rate = RateLimit::new(Memory::new(), 1_000).unwrap().burst(1).unwrap();
    (0..3_u64).for_each(|event| Sink::write(&rate, &event).unwrap());
    retry.close().wait().unwrap();
    let slow = sink_fn(|_: &u64| async {
        events_core::engine::clock::sleep(Duration::from_millis(1)).await;
        Ok(())
    });
    Timeout::new(slow, Duration::from_mins(1)).unwrap().write(&1).unwrap();
}

fn use_a_channel() {
    let (sink, events) = ChannelSink::unbounded();
    sink.write(&1).unwrap();
    sink.close().wait().unwrap();
    assert_eq!(events.recv(), Ok(1));
}

fn use_a_durable_queue() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink_fn(|_: &Stored<u64>| Ok(()));
    let queue = DurableQueue::spawn(sink, dir.path().join("events.db")).unwrap();
    queue.write(&1).unwrap();
    queue.flush().wait().unwrap();
    queue.close().wait().unwrap();
}

#[test]
fn all_can_be_used_in_the_end_of_a_thread() {
    again_at_the_end(use_a_queue);
    again_at_the_end(use_a_broadcaster);
    again_at_the_end(use_a_retry);
    again_at_the_end(use_a_channel);
    again_at_the_end(use_a_durable_queue);
}

/// What tokio keeps for a thread is gone then, too.
#[test]
fn they_can_be_used_in_the_end_of_a_thread_that_was_in_a_runtime() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    // Once a test has paused tokio's clock, it is looked up for every thread.
    let runtime = Arc::new(runtime.enable_time().start_paused(true).build().unwrap());
    again_at_the_end(move || {
        if tokio::runtime::Handle::try_current().is_err_and(|error| error.is_missing_context()) {
            drop(runtime.enter());
        }
        use_a_queue();
        use_a_broadcaster();
        use_a_retry();
    });
}
