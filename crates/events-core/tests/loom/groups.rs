//! Sinks that share workers: whatever meets, each sees every event once.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use events_core::{
    AsyncSink, Close, Closing, SinkError,
    engine::{
        Account, AccountConfig, Cursor, Each, Groups, Linger, Worker, feed::Feed, park::block_on,
    },
};
use loom::thread::{self, JoinHandle};

use crate::check;

/// What it got. Its lock is a real one, since it is never held while threads meet.
#[derive(Debug, Default)]
struct Seen {
    events: Mutex<Vec<u64>>,
    /// Whether it has to wait before it takes an event.
    waits: bool,
}

impl Seen {
    fn events(&self) -> Vec<u64> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Close for Seen {
    fn close(&self) -> Closing<'_> {
        Closing::done()
    }
}

impl AsyncSink<u64> for Seen {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        let mut waits = self.waits;
        poll_fn(|cx| {
            if !std::mem::take(&mut waits) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(*event);
        Ok(())
    }
}

type Sinks = Groups<u64, Each<Arc<Seen>>>;

type SeenWorker = Worker<u64, Each<Arc<Seen>>>;

/// Two sinks of one feed, each with a worker of its own until that joins the other's; the first one
/// waits for each event, or not.
struct Model {
    feed: Arc<Feed<u64>>,
    sinks: [Arc<Seen>; 2],
    accounts: [Arc<Account<u64>>; 2],
    workers: [SeenWorker; 2],
}

impl Model {
    fn new(waits: bool) -> Self {
        let feed = Arc::new(Feed::new());
        let groups = Arc::new(Sinks::new(2, |worker| drop(thread::spawn(|| block_on(worker)))));
        let sinks = [waits, false].map(|waits| Arc::new(Seen { waits, ..Seen::default() }));
        let [one, two] = sinks.each_ref().map(|sink| {
            let reader = feed.reader(None);
            let parts = AccountConfig {
                sink: Arc::clone(sink) as _,
                dead_letter: None,
                name: Arc::from("model"),
                owns_feed: false,
                driven_by_future: true,
                span: 1,
                disconnect: false,
                cursor: Arc::new(Cursor::new(reader.at(), None)),
                on_end: None,
                on_abort: None,
            };
            let deliver = Each(Arc::clone(sink));
            let (account, worker) = Worker::new(reader, deliver, Linger::NONE, parts);
            (account, worker.with_groups(Arc::clone(&groups)))
        });
        Self { feed, sinks, accounts: [one.0, two.0], workers: [one.1, two.1] }
    }
}

fn run(worker: SeenWorker) -> JoinHandle<()> {
    thread::spawn(|| block_on(worker.run()))
}

/// Writes, closes the first sink alone, writes again and closes both.
fn two_join(waits: bool) {
    let Model { feed, sinks: [one, two], accounts: [closed, stays], workers } = Model::new(waits);
    let workers = workers.map(run);
    feed.push(0).unwrap();
    closed.close().wait().unwrap();
    assert_eq!(one.events(), [0]);
    feed.push(1).unwrap();
    feed.close();
    block_on(stays.end()).unwrap();
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(one.events(), [0]);
    assert_eq!(two.events(), [0, 1]);
    assert_eq!(stays.stats().delivered, 2);
}

#[test]
fn two_join_while_one_is_closed() {
    check(2, || two_join(false));
}

#[test]
fn two_join_and_one_that_waits_leaves_the_other_to_go_on() {
    check(2, || two_join(true));
}

/// A worker leaves the second sink to another while that sink is closed.
#[test]
fn two_part_while_one_is_closed() {
    check(3, || {
        let Model { feed, sinks: [one, two], accounts: [stays, closed], workers: [first, second] } =
            Model::new(false);
        // The first waits to be joined, and the second joins it.
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = Box::pin(first.run());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(pin!(second.run()).poll(&mut cx).is_ready());
        feed.push(0).unwrap();
        let first = thread::spawn(|| block_on(first));
        closed.close().wait().unwrap();
        feed.close();
        block_on(stays.end()).unwrap();
        first.join().unwrap();
        assert_eq!(one.events(), [0]);
        assert_eq!(two.events(), [0]);
    });
}
