//! Sinks that share a worker, which is polled by hand.

use std::{
    future::pending,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Context, Waker},
    thread,
};

use super::*;
use crate::engine::groups::Run;
use crate::{
    closing::Closing,
    dead_letter::DeadLetter,
    engine::{cursor::Cursor, deliver::Each, feed::Feed},
    error::SinkError,
    runtime::sync::Mutex,
    sink::{AsyncSink, Close, Sink},
    sinks::{discard::Discard, memory::Memory, sink_fn::sink_fn},
};

/// Has whoever writes or closes wait while it is shut.
#[derive(Default)]
struct Door {
    shut: AtomicBool,
    events: Mutex<Vec<u64>>,
    closes: AtomicUsize,
}

impl Door {
    fn poll(&self) -> Poll<()> {
        if self.shut.load(Ordering::Relaxed) { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Close for Door {
    fn close(&self) -> Closing<'_> {
        self.closes.fetch_add(1, Ordering::Relaxed);
        Closing::new(poll_fn(|_| self.poll().map(Ok)))
    }
}

impl AsyncSink<u64> for Door {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        poll_fn(|_| self.poll()).await;
        self.events.lock().push(*event);
        Ok(())
    }
}

struct Pair {
    feed: Arc<Feed<u64>>,
    doors: [Arc<Door>; 2],
    accounts: [Arc<Account<u64>>; 2],
    /// The worker of both.
    run: Run,
    /// Those that leave it.
    others: Arc<Mutex<Vec<Run>>>,
}

impl Pair {
    fn new(cores: usize) -> Self {
        let feed = Arc::new(Feed::new());
        let others = Arc::new(Mutex::new(Vec::new()));
        let spawned = Arc::clone(&others);
        let groups = Arc::new(Groups::new(cores, move |worker| spawned.lock().push(worker)));
        let doors = [(); 2].map(|()| Arc::new(Door::default()));
        let [one, two] = doors.each_ref().map(|door| {
            let reader = feed.reader(None);
            let parts = parts(Arc::clone(door) as _, &reader);
            let (account, worker) =
                Worker::new(reader, Each(Arc::clone(door)), Linger::NONE, parts);
            (account, Box::pin(worker.with_groups(Arc::clone(&groups)).run()) as Run)
        });
        let (mut run, mut joins) = (one.1, two.1);
        assert!(poll(&mut run).is_pending());
        assert!(poll(&mut joins).is_ready(), "the second joins the first");
        Self { feed, doors, accounts: [one.0, two.0], run, others }
    }

    fn other(&self) -> Run {
        self.others.lock().pop().unwrap()
    }
}

fn parts(sink: Arc<dyn Close>, reader: &Reader<u64>) -> AccountConfig<u64> {
    AccountConfig {
        sink,
        dead_letter: None,
        name: Arc::from("test"),
        owns_feed: false,
        driven_by_future: true,
        span: 1,
        disconnect: false,
        cursor: Arc::new(Cursor::new(reader.at(), None)),
        on_end: None,
        on_abort: None,
    }
}

fn poll(run: &mut Run) -> Poll<()> {
    run.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn one_that_kept_the_others_waiting_has_nobody_to_share_afterwards() {
    const EVENTS: u64 = Feed::<u64>::CHUNK as u64;
    let mut pair = Pair::new(4);
    pair.doors[1].shut.store(true, Ordering::Relaxed);
    // One more than a chunk, so that it is behind.
    for event in 0..=EVENTS {
        pair.feed.push(event).unwrap();
    }
    assert!(poll(&mut pair.run).is_pending(), "a turn of the first");
    assert!(poll(&mut pair.run).is_pending(), "the second waits");
    let mut other = pair.other();
    thread::sleep(sharing::BEHIND);
    pair.doors[1].shut.store(false, Ordering::Relaxed);
    pair.feed.close();
    while poll(&mut pair.run).is_pending() {}
    while poll(&mut other).is_pending() {}
    for (door, account) in pair.doors.iter().zip(&pair.accounts) {
        assert_eq!(*door.events.lock(), (0..=EVENTS).collect::<Vec<_>>());
        assert_eq!(account.stats().delivered, EVENTS + 1);
    }
}

#[test]
fn one_that_waits_in_its_close_keeps_no_other_from_closing() {
    let mut pair = Pair::new(1);
    for (door, account) in pair.doors.iter().zip(&pair.accounts) {
        door.shut.store(true, Ordering::Relaxed);
        account.begin_close();
    }
    assert!(poll(&mut pair.run).is_pending());
    let mut other = pair.other();
    assert!(poll(&mut other).is_pending());
    for door in &pair.doors {
        assert_eq!(door.closes.load(Ordering::Relaxed), 1);
        door.shut.store(false, Ordering::Relaxed);
    }
    assert!(poll(&mut pair.run).is_ready());
    assert!(poll(&mut other).is_ready());
    assert!(pair.accounts.iter().all(|account| account.has_ended()));
}

/// Waits for ever, and counts how often it is copied.
struct Stuck(Arc<AtomicUsize>);

impl Clone for Stuck {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Deliver<u64> for Stuck {
    fn span(&self, _available: usize) -> usize {
        1
    }

    fn deliver(&self, _events: &[u64]) -> impl Future<Output = Result<(), SinkError>> + Send {
        pending()
    }
}

/// Each keeps a list of those it was with, as long as it waits.
#[test]
fn many_that_wait_at_once_are_not_copied_for_each_of_them() {
    const SINKS: usize = 512;
    let feed = Arc::new(Feed::new());
    let copies = Arc::new(AtomicUsize::new(0));
    let others = Arc::new(Mutex::new(Vec::new()));
    let spawned = Arc::clone(&others);
    let groups = Arc::new(Groups::new(1, move |worker| spawned.lock().push(worker)));
    let mut runs = Vec::new();
    for _ in 0..SINKS {
        let reader = feed.reader(None);
        let parts = parts(Arc::new(Discard::new()), &reader);
        let (_, worker) = Worker::new(reader, Stuck(Arc::clone(&copies)), Linger::NONE, parts);
        let mut run: Run = Box::pin(worker.with_groups(Arc::clone(&groups)).run());
        if poll(&mut run).is_pending() {
            runs.push(run);
        }
    }
    assert_eq!(runs.len(), 1, "all are together");
    feed.push(0).unwrap();
    assert!(poll(&mut runs[0]).is_pending());
    loop {
        let Some(other) = others.lock().pop() else { break };
        runs.push(other);
        assert!(poll(runs.last_mut().unwrap()).is_pending());
    }
    assert_eq!(runs.len(), SINKS, "all are alone");
    let copies = copies.load(Ordering::Relaxed);
    assert!(copies < SINKS * SINKS / 8, "{copies} copies");
}

/// The log has given it a chunk that begins beyond what it has settled: it holds nothing of that yet.
#[test]
fn what_a_lagging_worker_has_yet_to_skip_is_no_part_of_what_is_given_up() {
    let feed = Arc::new(Feed::with_chunks(2));
    let dead = Arc::new(Memory::new());
    let letters = Arc::clone(&dead);
    let reader = feed.reader(Some(2));
    let parts = AccountConfig {
        dead_letter: Some(Arc::new(sink_fn(move |letter: &DeadLetter<u64>| {
            Sink::write(&*letters, &letter.event)
        }))),
        cursor: Arc::new(Cursor::new(0, Some(2))),
        ..parts(Arc::new(Discard::new()), &reader)
    };
    let (account, mut worker) =
        Worker::new(reader, Each(Arc::new(Discard::new())), Linger::NONE, parts);
    (0..6).for_each(|event| feed.push(event).unwrap());
    let chunk = worker.reader.try_chunk().unwrap();
    assert_eq!(chunk.first(), 4, "the log has let go of what lies before");
    worker.handle.hold(&chunk);
    account.give_up_rest("it takes too long");
    assert_eq!(dead.events(), [4, 5], "each once");
    let dropped = account.stats().dropped;
    assert_eq!((dropped.overflow, dropped.abandoned), (4, 2));
}
