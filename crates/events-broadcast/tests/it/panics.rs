//! What panics harms nobody else: twenty sinks in one task, which goes on.

use std::{
    future::pending,
    panic::panic_any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use events_broadcast::{Broadcaster, Delivery};
use events_core::{AsyncSink, Close, Closing, Event, SinkError};
use parking_lot::Mutex;

use crate::support::assert_balanced;

const SINKS: usize = 20;
const EVENTS: u64 = 300;
/// The sink that is at fault.
const BAD: usize = 7;

/// Panics when it is dropped, also when that is the drop of what was thrown.
struct Thrown;

impl Drop for Thrown {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "this is meant to happen");
    }
}

/// What the sink that is at fault does.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Throws what panics when it is dropped.
    Throws,
    /// Answers `Closed`, and panics when it is dropped.
    LeavesAndDrops,
    /// Waits for ever in a future that panics when it is dropped.
    Waits,
    /// The same in its close.
    WaitsInClose,
}

struct Member {
    fault: Fault,
    count: Arc<Mutex<u64>>,
}

impl Close for Member {
    fn close(&self) -> Closing<'_> {
        match self.fault {
            Fault::WaitsInClose => Closing::new(async {
                let _held = Thrown;
                pending().await
            }),
            _ => Closing::done(),
        }
    }
}

impl<E: Event> AsyncSink<E> for Member {
    async fn write(&self, _event: &E) -> Result<(), SinkError> {
        match self.fault {
            Fault::Throws => panic_any(Thrown),
            Fault::LeavesAndDrops => return Err(SinkError::closed()),
            Fault::Waits => {
                let _held = Thrown;
                pending::<()>().await;
            }
            Fault::None | Fault::WaitsInClose => {}
        }
        *self.count.lock() += 1;
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        assert!(self.fault != Fault::LeavesAndDrops, "this is meant to happen");
    }
}

/// Twenty sinks that share a task, one of them at fault.
fn group<E: Event + Clone>(
    all: &Broadcaster<E>,
    fault: Fault,
) -> (Vec<Delivery<E>>, Vec<Arc<Mutex<u64>>>) {
    (0..SINKS)
        .map(|number| {
            let count = Arc::default();
            let fault = if number == BAD { fault } else { Fault::None };
            (all.spawn_tokio(Member { fault, count: Arc::clone(&count) }), count)
        })
        .unzip()
}

async fn the_others_get_everything(fault: Fault) {
    let all = Broadcaster::new();
    let (mut deliveries, counts) = group(&all, fault);
    tokio::task::yield_now().await;
    if fault == Fault::LeavesAndDrops {
        // Nobody but the worker is to hold the sink when it leaves.
        drop(deliveries.remove(BAD));
    }
    AsyncSink::write(&all, &0).await.unwrap();
    while fault == Fault::LeavesAndDrops && all.stats().len() == SINKS {
        tokio::task::yield_now().await;
    }
    for event in 1..EVENTS {
        AsyncSink::write(&all, &event).await.unwrap();
    }
    let result = all.close_within(Duration::from_secs(1)).await;
    assert_eq!(result.is_ok(), fault == Fault::None, "{result:?}");
    // What is dropped late is dropped by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (number, count) in counts.iter().enumerate() {
        let taken = number != BAD || matches!(fault, Fault::None | Fault::WaitsInClose);
        assert_eq!(*count.lock(), if taken { EVENTS } else { 0 }, "sink {number}");
    }
    for delivery in &deliveries {
        assert_balanced(&delivery.stats());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_thrown_panics_when_it_is_dropped() {
    the_others_get_everything(Fault::Throws).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_panics_when_it_is_dropped() {
    the_others_get_everything(Fault::LeavesAndDrops).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_panics_when_it_is_dropped() {
    the_others_get_everything(Fault::Waits).await;
}

#[tokio::test(start_paused = true)]
async fn a_close_panics_when_it_is_dropped() {
    the_others_get_everything(Fault::WaitsInClose).await;
}

/// Every copy of it panics when it is dropped.
struct Grumpy(bool);

impl Clone for Grumpy {
    fn clone(&self) -> Self {
        Self(true)
    }
}

impl Drop for Grumpy {
    fn drop(&mut self) {
        assert!(!self.0, "this is meant to happen");
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_panics_when_it_is_dropped() {
    let all = Broadcaster::new();
    let (deliveries, counts) = group(&all, Fault::Throws);
    let never_read = all.subscribe();
    tokio::task::yield_now().await;
    for _ in 0..EVENTS {
        AsyncSink::write(&all, &Grumpy(false)).await.unwrap();
    }
    drop(never_read);
    assert_eq!(all.close().await.unwrap_err().undelivered(), Some(EVENTS));
    for (number, count) in counts.iter().enumerate() {
        assert_eq!(*count.lock(), if number == BAD { 0 } else { EVENTS }, "sink {number}");
    }
    assert_eq!(deliveries[BAD].stats().failed, EVENTS);
    // Nobody reads any more: the copy goes at once.
    drop(deliveries);
}

#[tokio::test]
async fn a_waker_panics() {
    struct Broken;
    impl Wake for Broken {
        fn wake(self: Arc<Self>) {
            panic!("this is meant to happen");
        }
    }
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let all = Broadcaster::new();
    let (deliveries, counts) = group(&all, Fault::None);
    tokio::task::yield_now().await;
    AsyncSink::write(&all, &1).await.unwrap();
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let wakers = [Waker::from(Arc::new(Broken)), Waker::from(Arc::clone(&woken))];
    let [mut one, mut two] = [(); 2].map(|()| Box::pin(deliveries[0].flush()));
    for (flush, waker) in [&mut one, &mut two].into_iter().zip(&wakers) {
        assert!(flush.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    }
    while counts.iter().any(|count| *count.lock() == 0) {
        tokio::task::yield_now().await;
    }
    assert!(woken.0.load(Ordering::Relaxed), "the one behind the broken one sleeps on");
    two.await.unwrap();
    AsyncSink::write(&all, &2).await.unwrap();
    all.close().await.unwrap();
    assert!(counts.iter().all(|count| *count.lock() == 2));
}
