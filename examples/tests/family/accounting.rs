//! 100,000 events from 8 writers, through a broadcaster, a bounded queue for each overflow policy,
//! and retries, to destinations that fail at random.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use events_broadcast::Broadcaster;
use events_core::{Breaker, Close, Closing, DeadLetter, Memory, SinkError, Stats};
use events_queue::{Overflow, Queue};
use events_retry::Retry;

const WRITERS: u64 = 8;
const EACH: u64 = 12_500;
const POLICIES: [Overflow; 4] =
    [Overflow::Block, Overflow::DropOldest, Overflow::DropNewest, Overflow::Reject];

/// A writer's number and how many it has written before.
type Event = (u64, u64);

/// Fails one write in ten, rejects one in a thousand, and keeps the others.
struct Flaky {
    taken: Arc<Memory<Event>>,
    random: std::sync::Mutex<fastrand::Rng>,
}

impl Flaky {
    fn new(seed: u64) -> Self {
        let random = std::sync::Mutex::new(fastrand::Rng::with_seed(seed));
        Self { taken: Arc::default(), random }
    }

    fn take(&self, event: &Event) -> Result<(), SinkError> {
        match self.random.lock().unwrap().u32(..1_000) {
            0 => Err(SinkError::rejected("it does not like this one")),
            1..=100 => Err(SinkError::unavailable("not now")),
            _ => events_core::Sink::write(&*self.taken, event),
        }
    }
}

impl Close for Flaky {
    fn close(&self) -> Closing<'_> {
        Closing::done()
    }
}

impl events_core::Sink<Event> for Flaky {
    fn write(&self, event: &Event) -> Result<(), SinkError> {
        self.take(event)
    }
}

impl events_core::AsyncSink<Event> for Flaky {
    async fn write(&self, event: &Event) -> Result<(), SinkError> {
        if event.1.is_multiple_of(100) {
            tokio::task::yield_now().await;
        }
        self.take(event)
    }
}

/// One branch: a queue with what came out of it at either end.
struct Branch {
    policy: Overflow,
    queue: Queue<Event>,
    taken: Arc<Memory<Event>>,
    dead: Arc<Memory<DeadLetter<Event>>>,
}

impl Branch {
    fn new(
        policy: Overflow,
        spawn: impl FnOnce(
            events_queue::Builder<Event, events_queue::Single>,
            Retry<Flaky, Breaker>,
        ) -> Queue<Event>,
    ) -> Self {
        let flaky = Flaky::new(7);
        let taken = Arc::clone(&flaky.taken);
        // One in ten fails, so hardly ever a hundred in a row: it is tried again at once.
        let retry = Retry::new(flaky, Breaker::new(100, Duration::from_millis(1)).unwrap());
        let dead = Arc::new(Memory::new());
        let builder =
            Queue::builder().capacity(100).overflow(policy).dead_letter(Arc::clone(&dead));
        Self { policy, queue: spawn(builder, retry), taken, dead }
    }

    /// The account after the close, against what both ends saw. `refused` writes were never
    /// accepted.
    fn check(&self, refused: u64) {
        let Self { policy, queue, taken, dead } = self;
        let stats = queue.stats();
        assert_balanced(&stats);
        assert_eq!(stats.pending, 0);
        assert_eq!(stats.accepted + refused, WRITERS * EACH, "{policy:?}");
        assert_eq!(stats.delivered, taken.len() as u64, "{policy:?}");
        assert_eq!(stats.failed, dead.len() as u64, "{policy:?}");
        assert_eq!(stats.dropped.abandoned, 0);
        let drops = matches!(policy, Overflow::DropOldest | Overflow::DropNewest);
        assert!(drops || stats.dropped.overflow == 0, "{policy:?} drops nothing");
        for writer in 0..WRITERS {
            let events = taken.events();
            let ours = events.iter().filter(|event| event.0 == writer);
            assert!(ours.is_sorted_by(|a, b| a.1 < b.1), "{policy:?} keeps the order, each once");
        }
    }
}

#[track_caller]
fn assert_balanced(stats: &Stats) {
    let settled = stats.delivered + stats.failed + stats.dropped.total() + stats.pending;
    assert_eq!(stats.accepted, settled, "{stats:?}");
}

/// What the broadcaster counted as refused by each queue, in their order.
fn refused(all: &Broadcaster<Event>) -> Vec<u64> {
    all.stats().iter().map(|sink| sink.stats.failed).collect()
}

#[test]
fn every_policy_accounts_for_every_event_on_threads() {
    let all = Broadcaster::new();
    let branches =
        POLICIES.map(|policy| Branch::new(policy, |builder, retry| builder.spawn(retry).unwrap()));
    for branch in &branches {
        all.add(Arc::new(branch.queue.clone())).unwrap();
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // The account adds up at all times, not just at the end.
            while !done.load(Ordering::Relaxed) {
                for branch in &branches {
                    assert_balanced(&branch.queue.stats());
                }
                thread::yield_now();
            }
        });
        thread::scope(|writers| {
            for writer in 0..WRITERS {
                let all = &all;
                writers.spawn(move || {
                    for number in 0..EACH {
                        events_core::Sink::write(all, &(writer, number)).unwrap();
                    }
                });
            }
        });
        done.store(true, Ordering::Relaxed);
    });
    let lost = all.close().wait().err().and_then(|error| error.undelivered());
    assert_eq!(
        lost.unwrap_or(0),
        refused(&all).iter().sum::<u64>(),
        "what a queue refused went nowhere"
    );
    for (branch, refused) in branches.iter().zip(refused(&all)) {
        branch.check(refused);
    }
}

/// In tasks nobody may block its thread, so a queue that makes its writers wait is written to by
/// itself, awaited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_policy_accounts_for_every_event_in_tasks() {
    let all = Broadcaster::new();
    let branches = POLICIES
        .map(|policy| Branch::new(policy, |builder, retry| builder.spawn_tokio(retry).unwrap()));
    let [block, others @ ..] = &branches;
    for branch in others {
        all.add(Arc::new(branch.queue.clone())).unwrap();
    }
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (all, block) = (all.clone(), block.queue.clone());
            tokio::spawn(async move {
                for number in 0..EACH {
                    let event = (writer, number);
                    events_core::AsyncSink::write(&all, &event).await.unwrap();
                    events_core::AsyncSink::write(&block, &event).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let lost = all.close().await.err().and_then(|error| error.undelivered());
    assert_eq!(
        lost.unwrap_or(0),
        refused(&all).iter().sum::<u64>(),
        "what a queue refused went nowhere"
    );
    block.queue.close().await.unwrap();
    block.check(0);
    for (branch, refused) in others.iter().zip(refused(&all)) {
        branch.check(refused);
    }
}
