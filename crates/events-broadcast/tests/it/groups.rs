//! Asynchronous sinks that share tasks.

use std::{
    collections::HashSet,
    hint,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use events_broadcast::{Broadcaster, Lag};
use events_core::{AsyncSink, Close, Closing, ErrorKind, Memory, SinkError};
use parking_lot::Mutex;
use tokio::{sync::Semaphore, task::Id};

use crate::support::assert_balanced;

/// Counts, after it was let through.
struct Gated {
    gate: Option<Arc<Semaphore>>,
    events: Arc<Mutex<Vec<u64>>>,
    closes: Arc<AtomicU64>,
}

impl Gated {
    fn new(gate: Option<&Arc<Semaphore>>, closes: &Arc<AtomicU64>) -> (Self, Arc<Mutex<Vec<u64>>>) {
        let events = Arc::default();
        let sink =
            Self { gate: gate.cloned(), events: Arc::clone(&events), closes: Arc::clone(closes) };
        (sink, events)
    }
}

impl Close for Gated {
    fn close(&self) -> Closing<'_> {
        self.closes.fetch_add(1, Ordering::Relaxed);
        Closing::done()
    }
}

impl AsyncSink<u64> for Gated {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        if let Some(gate) = &self.gate {
            gate.acquire().await.map_err(SinkError::unavailable)?.forget();
        }
        self.events.lock().push(*event);
        Ok(())
    }
}

async fn sinks_that_wait_delay_nobody() {
    const SINKS: usize = 1_000;
    const EVENTS: u64 = 300;
    let all = Broadcaster::new();
    let gate = Arc::new(Semaphore::new(0));
    let closes = Arc::new(AtomicU64::new(0));
    let mut quick = Vec::new();
    let mut slow = Vec::new();
    for number in 0..SINKS {
        let is_slow = number % 333 == 1;
        let (sink, events) = Gated::new(is_slow.then_some(&gate), &closes);
        let delivery = all.spawn_tokio(sink);
        if is_slow { slow.push((delivery, events)) } else { quick.push((delivery, events)) }
    }
    assert_eq!(slow.len(), 3);
    for event in 0..EVENTS {
        all.write(&event).await.unwrap();
    }
    let expected: Vec<_> = (0..EVENTS).collect();
    for (delivery, events) in &quick {
        delivery.flush().await.unwrap();
        assert_eq!(*events.lock(), expected);
        let stats = delivery.stats();
        assert_eq!((stats.delivered, stats.pending), (EVENTS, 0));
    }
    for (delivery, events) in &slow {
        assert_eq!(*events.lock(), [0; 0]);
        assert_eq!(delivery.stats().pending, EVENTS);
    }
    gate.add_permits(10_000);
    all.close().await.unwrap();
    for (delivery, events) in slow.iter().chain(&quick) {
        assert_eq!(*events.lock(), expected);
        assert_balanced(&delivery.stats());
        assert_eq!(delivery.stats().delivered, EVENTS);
    }
    assert_eq!(closes.load(Ordering::Relaxed), SINKS as u64, "each was closed once");
}

#[tokio::test]
async fn sinks_that_wait_delay_nobody_on_one_thread() {
    sinks_that_wait_delay_nobody().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_that_wait_delay_nobody_on_two_threads() {
    sinks_that_wait_delay_nobody().await;
}

/// Sinks wait now and then, leave their group and come back to one, join and close meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_part_and_meet_without_a_loss() {
    struct Moody {
        number: u64,
        seen: Arc<Mutex<Vec<u64>>>,
    }
    impl Close for Moody {}
    impl AsyncSink<u64> for Moody {
        async fn write(&self, event: &u64) -> Result<(), SinkError> {
            if (event / 200 + self.number).is_multiple_of(5) {
                tokio::task::yield_now().await;
            }
            self.seen.lock().push(*event);
            Ok(())
        }
    }

    const EVENTS: u64 = 4_000;
    let all = Broadcaster::new();
    let mut sinks = Vec::new();
    for event in 0..EVENTS {
        if event % 20 == 0 {
            let seen = Arc::default();
            let sink = Moody { number: event / 20, seen: Arc::clone(&seen) };
            sinks.push((event, all.spawn_tokio(sink), seen));
        }
        if event % 50 == 49 {
            let (first, delivery, seen) =
                sinks.swap_remove((event * 7 % 13) as usize % sinks.len());
            delivery.close().await.unwrap();
            assert_eq!(*seen.lock(), (first..event).collect::<Vec<_>>());
            assert_eq!(delivery.stats().delivered, event - first);
        }
        all.write(&event).await.unwrap();
        if event % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    all.close().await.unwrap();
    for (first, delivery, seen) in sinks {
        assert_eq!(*seen.lock(), (first..EVENTS).collect::<Vec<_>>());
        assert_balanced(&delivery.stats());
        assert_eq!(delivery.stats().pending, 0);
    }
}

#[tokio::test]
async fn a_panic_in_a_group_fails_that_event_of_that_sink() {
    struct Panics(Arc<AtomicU64>, u64);
    impl Close for Panics {}
    impl AsyncSink<u64> for Panics {
        async fn write(&self, event: &u64) -> Result<(), SinkError> {
            assert_ne!(*event, self.1, "not this one");
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
    let all = Broadcaster::new();
    let delivered = Arc::new(AtomicU64::new(0));
    let dead = Arc::new(Memory::new());
    let deliveries: Vec<_> = (0..10)
        .map(|number| {
            let subscriber = all.subscriber().dead_letter(Arc::clone(&dead));
            subscriber.spawn_tokio(Panics(Arc::clone(&delivered), number)).unwrap()
        })
        .collect();
    for event in 0..20 {
        all.write(&event).await.unwrap();
    }
    all.close().await.unwrap();
    assert_eq!(delivered.load(Ordering::Relaxed), 10 * 19);
    for delivery in &deliveries {
        assert_eq!((delivery.stats().delivered, delivery.stats().failed), (19, 1));
    }
    let mut letters: Vec<_> = dead.events().iter().map(|letter| letter.event).collect();
    letters.sort_unstable();
    assert_eq!(letters, (0..10).collect::<Vec<_>>());
}

/// A close at the deadline gives up exactly what the stuck sinks of a group have not delivered.
#[tokio::test(start_paused = true)]
async fn a_deadline_gives_up_what_stuck_sinks_hold() {
    let all = Broadcaster::new();
    let gate = Arc::new(Semaphore::new(7));
    let closes = Arc::new(AtomicU64::new(0));
    let dead = Arc::new(Memory::new());
    let mut seen = Vec::new();
    for number in 0..20 {
        let (sink, events) = Gated::new((number % 2 == 0).then_some(&gate), &closes);
        all.subscriber().dead_letter(Arc::clone(&dead)).spawn_tokio(sink).unwrap();
        seen.push(events);
    }
    for event in 0..150 {
        all.write(&event).await.unwrap();
    }
    let error = all.close_within(Duration::from_secs(1)).await.unwrap_err();
    let delivered: usize = seen.iter().map(|events| events.lock().len()).sum();
    assert_eq!(delivered, 10 * 150 + 7);
    assert_eq!(error.undelivered(), Some(10 * 150 - 7));
    assert_eq!(dead.len(), 10 * 150 - 7);
    assert!(all.stats().iter().all(|sink| sink.stats.pending == 0));
}

#[tokio::test]
async fn closing_from_inside_a_group_is_refused_the_wait() {
    struct Closes(Broadcaster<u64>, Arc<Mutex<Vec<ErrorKind>>>);
    impl Close for Closes {}
    impl AsyncSink<u64> for Closes {
        async fn write(&self, _event: &u64) -> Result<(), SinkError> {
            let error = self.0.close().await.unwrap_err();
            self.1.lock().push(error.kind());
            Ok(())
        }
    }
    let all = Broadcaster::new();
    let answers = Arc::default();
    for _ in 0..3 {
        all.spawn_tokio(Closes(all.clone(), Arc::clone(&answers)));
    }
    all.write(&1).await.unwrap();
    all.close().await.unwrap();
    assert_eq!(*answers.lock(), [ErrorKind::WouldDeadlock; 3]);
}

#[tokio::test]
async fn one_that_lags_in_a_group_skips_alone() {
    let all = Broadcaster::new();
    let gate = Arc::new(Semaphore::new(0));
    let closes = Arc::new(AtomicU64::new(0));
    let bounded = || all.subscriber().lag(Lag::DropOldest(10));
    let (sink, quick_events) = Gated::new(None, &closes);
    let quick = bounded().spawn_tokio(sink).unwrap();
    let (sink, slow_events) = Gated::new(Some(&gate), &closes);
    let slow = bounded().spawn_tokio(sink).unwrap();
    for event in 0..100 {
        all.write(&event).await.unwrap();
        quick.flush().await.unwrap();
    }
    assert_eq!(*quick_events.lock(), (0..100).collect::<Vec<_>>());
    gate.add_permits(100);
    all.close().await.unwrap();
    assert_eq!(*slow_events.lock(), [&[0][..], &(90..100).collect::<Vec<_>>()].concat());
    let stats = slow.stats();
    assert_eq!((stats.delivered, stats.dropped.overflow, stats.pending), (11, 89, 0));
}

#[test]
fn a_runtime_that_goes_away_ends_the_accounts() {
    let all = Broadcaster::new();
    let dead = Arc::new(Memory::new());
    let gate = Arc::new(Semaphore::new(0));
    let closes = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let deliveries: Vec<_> = runtime.block_on(async {
        let mut deliveries = Vec::new();
        for _ in 0..4 {
            let (sink, _events) = Gated::new(Some(&gate), &closes);
            let subscriber = all.subscriber().dead_letter(Arc::clone(&dead));
            deliveries.push(subscriber.spawn_tokio(sink).unwrap());
        }
        AsyncSink::write(&all, &1).await.unwrap();
        tokio::task::yield_now().await;
        deliveries
    });
    drop(runtime);
    for delivery in &deliveries {
        let stats = delivery.stats();
        assert_eq!((stats.dropped.abandoned, stats.pending), (1, 0));
    }
    assert_eq!(dead.len(), 4);
    // They were given up, though the dead letter has them.
    assert_eq!(all.close().wait().unwrap_err().undelivered(), Some(4));
}

/// Notes which task delivered what.
#[derive(Default)]
struct Tracing {
    /// How long it takes for an event above 1,000.
    effort: Duration,
    seen: Mutex<Vec<(u64, Id)>>,
}

impl Close for Tracing {}

impl AsyncSink<u64> for Tracing {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        let start = Instant::now();
        while *event > 1_000 && start.elapsed() < self.effort {
            hint::spin_loop();
        }
        self.seen.lock().push((*event, tokio::task::id()));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_task_shares_its_sinks_with_another_until_there_is_less_to_do() {
    const SINKS: usize = 200;
    let all = Broadcaster::new();
    let sinks: Vec<_> = (0..SINKS)
        .map(|_| Arc::new(Tracing { effort: Duration::from_micros(20), ..Tracing::default() }))
        .collect();
    for sink in &sinks {
        all.spawn_tokio(Arc::clone(sink));
    }
    let tasks = |events: RangeInclusive<u64>| {
        let mut ids = HashSet::new();
        for sink in &sinks {
            let seen = sink.seen.lock();
            ids.extend(seen.iter().filter(|(event, _)| events.contains(event)).map(|(_, id)| *id));
        }
        ids.len()
    };
    let mut quick = 0..1_000;
    let mut meet = async || {
        for event in quick.by_ref() {
            all.write(&event).await.unwrap();
            all.flush().await.unwrap();
            if tasks(event..=event) == 1 {
                return;
            }
        }
        panic!("they do not come together");
    };

    meet().await;
    for event in 1_001..=1_010 {
        all.write(&event).await.unwrap();
    }
    all.flush().await.unwrap();
    assert_eq!(tasks(1_001..=1_010), 2, "as many as there are threads");
    meet().await;
    all.close().await.unwrap();
    let expected: Vec<_> = (0..quick.start).collect();
    for sink in &sinks {
        let mut events: Vec<_> = sink.seen.lock().iter().map(|(event, _)| *event).collect();
        let heavy: Vec<_> = events.extract_if(.., |event| *event > 1_000).collect();
        assert_eq!(heavy, (1_001..=1_010).collect::<Vec<_>>());
        assert_eq!(events, expected);
    }
}
