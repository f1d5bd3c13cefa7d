//! The queue under tokio, on one thread and on several, with a paused clock where time counts.
#![cfg(feature = "tokio")]

use std::{sync::Arc, time::Duration};

use events_core::{AsyncSink, Close, Closing, ErrorKind, Memory, SinkError};
use events_queue::{DeadLetter, Overflow, Queue};
use tokio::time::{Instant, timeout};

use crate::support::{HANG, Script, assert_kind, assert_stats};

const HOUR: Duration = Duration::from_hours(1);

type Dead = Arc<Memory<DeadLetter<u64>>>;

async fn all_arrive() {
    let memory = Arc::new(Memory::new());
    let queue = Queue::builder().capacity(3).spawn_tokio(Arc::clone(&memory)).unwrap();
    let writers: Vec<_> = (0..10)
        .map(|writer| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for event in writer * 100..(writer + 1) * 100 {
                    queue.write(&event).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    timeout(HANG, queue.close()).await.unwrap().unwrap();
    let mut events = memory.take();
    for writer in 0..10 {
        assert!(events.iter().filter(|event| *event / 100 == writer).is_sorted());
    }
    events.sort_unstable();
    assert_eq!(events, (0..1_000).collect::<Vec<u64>>());
    assert_stats(&queue, [1_000, 1_000, 0, 0, 0, 0]);
    assert_kind(queue.write(&0).await, ErrorKind::Closed);
}

#[tokio::test]
async fn on_one_thread_all_arrive_in_order() {
    all_arrive().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_several_threads_all_arrive_in_order() {
    all_arrive().await;
}

#[tokio::test]
async fn blocking_where_the_worker_is_a_task_is_refused() {
    let queue = Queue::spawn_tokio(Script::new());
    queue.write(&0).await.unwrap();
    assert_kind(queue.flush().wait(), ErrorKind::WouldDeadlock);
    assert_kind(queue.close().wait(), ErrorKind::WouldDeadlock);
    // The close went on.
    assert_kind(queue.write(&1).await, ErrorKind::Closed);
    queue.close().await.unwrap();
    assert_stats(&queue, [1, 1, 0, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_where_the_worker_is_a_task_is_refused_on_several_threads() {
    let queue = Queue::builder().capacity(1).spawn_tokio(Script::new().shut()).unwrap();
    queue.write(&0).await.unwrap();
    let blocking = queue.clone();
    let refused =
        tokio::spawn(
            async move { (events_core::Sink::write(&blocking, &1), blocking.close().wait()) },
        );
    let (write, close) = refused.await.unwrap();
    assert_kind(write, ErrorKind::WouldDeadlock);
    assert_kind(close, ErrorKind::WouldDeadlock);
    assert_eq!(queue.stats().accepted, 1);
}

#[tokio::test]
async fn blocking_for_a_worker_that_is_a_thread_is_allowed() {
    let queue = Queue::spawn(Script::new());
    AsyncSink::write(&queue, &0).await.unwrap();
    queue.flush().wait().unwrap();
    queue.close().wait().unwrap();
}

#[test]
fn a_thread_that_has_entered_a_runtime_of_several_threads_may_block() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let _entered = runtime.enter();
    let queue = Queue::builder().capacity(1).spawn_tokio(Script::new()).unwrap();
    for event in 0..100 {
        events_core::Sink::write(&queue, &event).unwrap();
    }
    queue.flush().wait().unwrap();
    queue.close().wait().unwrap();
    assert_stats(&queue, [100, 100, 0, 0, 0, 0]);
}

#[test]
fn blocking_where_nobody_drives_the_runtime_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let entered = runtime.enter();
    let queue = Queue::builder().capacity(1).spawn_tokio(Script::new()).unwrap();
    events_core::Sink::write(&queue, &0).unwrap();
    assert_kind(events_core::Sink::write(&queue, &1), ErrorKind::WouldDeadlock);
    assert_kind(queue.flush().wait(), ErrorKind::WouldDeadlock);
    assert_kind(queue.close().wait(), ErrorKind::WouldDeadlock);
    drop(entered);
    runtime.block_on(queue.close()).unwrap();
    assert_stats(&queue, [1, 1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_thread_beside_the_tasks_may_block() {
    let queue = Queue::spawn_tokio(Script::new());
    let blocking = queue.clone();
    let closed = tokio::task::spawn_blocking(move || {
        events_core::Sink::write(&blocking, &0)?;
        blocking.close().wait()
    });
    timeout(HANG, closed).await.unwrap().unwrap().unwrap();
    assert_stats(&queue, [1, 1, 0, 0, 0, 0]);
}

/// A sink that closes its own queue in its write and awaits it.
struct ClosesItself(tokio::sync::Mutex<Option<Queue<u64>>>, Memory<bool>);

impl Close for ClosesItself {}

impl AsyncSink<u64> for ClosesItself {
    async fn write(&self, _event: &u64) -> Result<(), SinkError> {
        let queue = self.0.lock().await.take();
        if let Some(queue) = queue {
            tokio::task::yield_now().await;
            let error = queue.close().await.unwrap_err();
            self.1.write(&(error.kind() == ErrorKind::WouldDeadlock)).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn seed_07_closing_from_inside_the_sinks_future_returns() {
    let sink = Arc::new(ClosesItself(tokio::sync::Mutex::new(None), Memory::new()));
    let queue = Queue::spawn_tokio(Arc::clone(&sink));
    *sink.0.lock().await = Some(queue.clone());
    queue.write(&0).await.unwrap();
    timeout(HANG, queue.close()).await.unwrap().unwrap();
    assert_eq!(sink.1.take(), [true]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_when_its_first_event_has_lingered() {
    let script = Script::new();
    let queue = Queue::builder().batch(100, HOUR).spawn_tokio(script.clone()).unwrap();
    let start = Instant::now();
    for event in 0..3 {
        queue.write(&event).await.unwrap();
        tokio::time::sleep(HOUR / 4).await;
    }
    assert!(script.delivered().is_empty());
    tokio::time::sleep(HOUR / 4 + Duration::from_secs(1)).await;
    assert_eq!(script.delivered(), [0, 1, 2]);
    assert!(start.elapsed() < HOUR + HOUR / 4);
    // The next one lingers anew.
    queue.write(&3).await.unwrap();
    tokio::time::sleep(HOUR / 2).await;
    assert_eq!(script.delivered().len(), 3);
    tokio::time::sleep(HOUR / 2 + Duration::from_secs(1)).await;
    assert_eq!(script.delivered().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_linger() {
    let script = Script::new();
    let queue = Queue::builder().batch(2, HOUR).spawn_tokio(script.clone()).unwrap();
    let start = Instant::now();
    queue.write(&0).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    queue.write(&1).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(script.delivered(), [0, 1]);
    queue.write(&2).await.unwrap();
    queue.close().await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_limited_wait_for_room_takes_tokios_time() {
    let script = Script::new().shut();
    let queue = Queue::builder()
        .capacity(1)
        .overflow(Overflow::BlockFor(HOUR))
        .spawn_tokio(script.clone())
        .unwrap();
    queue.write(&0).await.unwrap();
    let start = Instant::now();
    assert_kind(queue.write(&1).await, ErrorKind::Full);
    assert!(start.elapsed() >= HOUR);
    // Room within the time, and the write is taken.
    let opener = script.clone();
    tokio::spawn(async move {
        tokio::time::sleep(HOUR / 2).await;
        opener.open();
    });
    queue.write(&2).await.unwrap();
    queue.close().await.unwrap();
    assert_eq!(script.delivered(), [0, 2]);
}

#[tokio::test(start_paused = true)]
async fn seed_02_a_task_that_never_succeeds_is_given_up_at_the_deadline() {
    let dead = Dead::default();
    let script = Script::new().shut();
    let queue =
        Queue::builder().dead_letter(Arc::clone(&dead)).spawn_tokio(script.clone()).unwrap();
    for event in 0..200 {
        queue.write(&event).await.unwrap();
    }
    let start = Instant::now();
    let error = queue.close_within(HOUR).await.unwrap_err();
    assert_eq!(error.undelivered(), Some(200));
    // By tokio's paused clock, so this measures the design and not the machine.
    assert!(start.elapsed() >= HOUR && start.elapsed() < HOUR + Duration::from_secs(5));
    assert_stats(&queue, [200, 0, 0, 0, 200, 0]);
    let events: Vec<_> = dead.take().iter().map(|letter| letter.event).collect();
    assert_eq!(events, (0..200).collect::<Vec<_>>());
    assert_eq!((script.aborts(), queue.close().await.unwrap_err().undelivered()), (1, Some(200)));
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_close_hangs_is_left_behind() {
    let script = Script::never_closing();
    let queue = Queue::spawn_tokio(script);
    queue.write(&0).await.unwrap();
    let error = timeout(2 * HOUR, queue.close_within(HOUR)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_stats(&queue, [1, 1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_oldest_event_is_told_in_tokios_time() {
    let script = Script::new().shut();
    let queue = Queue::spawn_tokio(script.clone());
    queue.write(&0).await.unwrap();
    tokio::time::sleep(HOUR).await;
    queue.write(&1).await.unwrap();
    assert!(queue.stats().oldest.unwrap() >= HOUR);
    script.open();
    queue.flush().await.unwrap();
    assert_eq!(queue.stats().oldest, None);
}

#[tokio::test]
async fn a_cancelled_write_leaves_the_line() {
    let script = Script::new().shut();
    let queue = Queue::builder().capacity(1).spawn_tokio(script.clone()).unwrap();
    queue.write(&0).await.unwrap();
    assert!(timeout(Duration::from_millis(1), queue.write(&1)).await.is_err());
    let next = tokio::spawn({
        let queue = queue.clone();
        async move { queue.write(&2).await }
    });
    script.open();
    next.await.unwrap().unwrap();
    queue.close().await.unwrap();
    assert_eq!(script.delivered(), [0, 2]);
}

#[tokio::test]
async fn a_runtime_that_ends_ends_the_account_of_its_queues() {
    let dead = Dead::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let queue = {
        let _inside = runtime.enter();
        Queue::builder().dead_letter(Arc::clone(&dead)).spawn_tokio(Script::new().shut()).unwrap()
    };
    queue.write(&0).await.unwrap();
    let closing: Closing<'_> = queue.close();
    runtime.shutdown_background();
    let error = timeout(HANG, closing).await.unwrap().unwrap_err();
    assert_eq!(error.undelivered(), Some(1));
    assert_eq!(dead.len(), 1);
}
