//! Events that are delivered again, each by its own schedule, on tokio's paused clock.
#![cfg(feature = "tokio")]

use std::{collections::HashMap, sync::Arc, time::Duration};

use events_core::{AsyncSink, Breaker, Close, Closing, ErrorKind, Memory, SinkError};
use events_queue::{Builder, DeadLetter, Queue, Schedule, Single};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::support::{assert_balanced, assert_stats};

const HOUR: Duration = Duration::from_hours(1);
const SECOND: Duration = Duration::from_secs(1);

/// Answers after `takes`, as it is told for the event and how often that has come before.
struct Endpoint<F> {
    takes: Duration,
    answer: F,
    /// Each attempt: the event, when, and whether it was taken.
    attempts: Mutex<Vec<(u64, Instant, bool)>>,
}

impl<F: Fn(u64, usize) -> Result<(), SinkError>> Endpoint<F> {
    fn new(takes: Duration, answer: F) -> Arc<Self> {
        Arc::new(Self { takes, answer, attempts: Mutex::default() })
    }

    fn taken(&self) -> Vec<u64> {
        self.attempts.lock().iter().filter(|attempt| attempt.2).map(|attempt| attempt.0).collect()
    }

    fn times(&self, event: u64) -> Vec<Instant> {
        let attempts = self.attempts.lock();
        attempts.iter().filter(|attempt| attempt.0 == event).map(|attempt| attempt.1).collect()
    }
}

impl<F: Send + Sync> Close for Endpoint<F> {}

impl<F: Fn(u64, usize) -> Result<(), SinkError> + Send + Sync> AsyncSink<u64> for Endpoint<F> {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        tokio::time::sleep(self.takes).await;
        let mut attempts = self.attempts.lock();
        let before = attempts.iter().rev().filter(|attempt| attempt.0 == *event).count();
        let answer = (self.answer)(*event, before);
        attempts.push((*event, Instant::now(), answer.is_ok()));
        answer
    }
}

fn down() -> SinkError {
    SinkError::unavailable("503 Service Unavailable")
}

fn sorted(mut events: Vec<u64>) -> Vec<u64> {
    events.sort_unstable();
    events
}

/// Answers after 20 ms, and every tenth time that it is unavailable.
struct Flaky {
    answers: Mutex<u64>,
    taken: Memory<u64>,
}

impl Close for Flaky {}

impl AsyncSink<u64> for Flaky {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let answer = {
            let mut answers = self.answers.lock();
            *answers += 1;
            *answers
        };
        if answer.is_multiple_of(10) {
            return Err(down());
        }
        AsyncSink::write(&self.taken, event).await
    }
}

// By tokio's paused clock, so this measures the design and not the machine.
#[tokio::test(start_paused = true)]
async fn thirty_two_at_a_time_are_thirty_times_as_fast_as_one_though_a_tenth_fails() {
    const EVENTS: u64 = 10_000;
    const KEYS: u64 = 320;
    let mut took = Vec::new();
    for at_a_time in [1, 32] {
        let flaky = Arc::new(Flaky { answers: Mutex::new(0), taken: Memory::new() });
        let schedule = Schedule::delays([Duration::from_millis(20); 20]);
        let queue = Queue::builder()
            .concurrency(at_a_time)
            .ordered_by(|event: &u64| event % KEYS)
            .redeliver(schedule)
            .spawn_tokio(Arc::clone(&flaky))
            .unwrap();
        let start = Instant::now();
        for event in 0..EVENTS {
            queue.write(&event).await.unwrap();
        }
        queue.close().await.unwrap();
        took.push(start.elapsed());
        let taken = flaky.taken.take();
        let mut last = HashMap::new();
        for event in &taken {
            assert!(last.insert(event % KEYS, event).is_none_or(|before| before < event));
        }
        assert_eq!(sorted(taken), (0..EVENTS).collect::<Vec<_>>());
        assert_stats(&queue, [EVENTS, EVENTS, 0, 0, 0, 0]);
    }
    assert!(took[1] * 30 <= took[0], "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_takes_an_hour_delays_nobody_but_its_key() {
    let endpoint =
        Endpoint::new(
            Duration::ZERO,
            |event, before| {
                if event == 0 && before == 0 { Err(down()) } else { Ok(()) }
            },
        );
    let queue = Queue::builder()
        .ordered_by(|event: &u64| event % 10)
        .redeliver(Schedule::delays([HOUR]))
        .spawn_tokio(Arc::clone(&endpoint))
        .unwrap();
    let start = Instant::now();
    for event in 0..100 {
        queue.write(&event).await.unwrap();
    }
    while endpoint.taken().len() < 90 {
        tokio::time::sleep(SECOND).await;
    }
    assert!(start.elapsed() < Duration::from_mins(1));
    let stats = queue.stats();
    assert_balanced(&stats);
    assert_eq!((stats.pending, stats.parked, stats.in_flight), (10, 1, 0));
    let due = stats.next_due.unwrap();
    assert!(due <= HOUR && due > Duration::from_mins(59), "{due:?}");
    queue.close().await.unwrap();
    assert!(start.elapsed() >= HOUR);
    assert!(endpoint.taken().iter().filter(|event| *event % 10 == 0).is_sorted());
    assert_stats(&queue, [100, 100, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn each_event_follows_its_schedule_and_ends_as_a_dead_letter_that_tells_so() {
    let endpoint = Endpoint::new(Duration::ZERO, |event, _| match event {
        3 => Err(down()),
        4 => Err(down().with_retry_after(30 * SECOND)),
        _ => Ok(()),
    });
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let queue = Queue::builder()
        .redeliver(Schedule::delays([SECOND, 10 * SECOND, 60 * SECOND]))
        .dead_letter(Arc::clone(&dead))
        .spawn_tokio(Arc::clone(&endpoint))
        .unwrap();
    let start = Instant::now();
    for event in 0..10 {
        queue.write(&event).await.unwrap();
    }
    drop(queue.close().await);
    let waits = |event| -> Vec<u64> {
        endpoint.times(event).iter().map(|time| (*time - start).as_secs()).collect()
    };
    assert_eq!(waits(3), [0, 1, 11, 71]);
    assert_eq!(waits(4), [0, 30, 60, 120]);
    let letters = dead.take();
    let told: Vec<_> =
        letters.iter().map(|letter| (letter.event, letter.attempts, letter.error.kind())).collect();
    assert_eq!(told, [(3, 4, ErrorKind::Unavailable), (4, 4, ErrorKind::Unavailable)]);
    let ago = |letter: &DeadLetter<u64>| letter.first_failure.unwrap().elapsed().unwrap();
    assert!(ago(&letters[0]) >= 71 * SECOND && ago(&letters[0]) < 80 * SECOND);
    assert_stats(&queue, [10, 8, 2, 0, 0, 0]);
    assert_eq!(queue.stats().attempts, 16);
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_only_the_events_that_failed_come_again() {
    struct Batches(Mutex<Vec<Vec<u64>>>);
    impl Close for Batches {}
    impl AsyncSink<[u64]> for Batches {
        async fn write(&self, events: &[u64]) -> Result<(), SinkError> {
            let mut batches = self.0.lock();
            batches.push(events.to_vec());
            if batches.len() > 1 {
                return Ok(());
            }
            let failures = vec![(2, down()), (3, SinkError::rejected("400")), (7, down())];
            Err(SinkError::of_batch(failures).unwrap())
        }
    }
    let batches = Arc::new(Batches(Mutex::default()));
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let queue = Queue::builder()
        .batch(8, HOUR)
        .redeliver(Schedule::delays([SECOND]))
        .dead_letter(Arc::clone(&dead))
        .spawn_tokio(Arc::clone(&batches))
        .unwrap();
    for event in 0..8 {
        queue.write(&event).await.unwrap();
    }
    drop(queue.close().await);
    assert_eq!(*batches.0.lock(), [(0..8).collect::<Vec<_>>(), vec![2, 7]]);
    assert_eq!(dead.take().iter().map(|letter| letter.event).collect::<Vec<_>>(), [3]);
    assert_stats(&queue, [8, 7, 1, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_down_is_probed_and_spends_nobodys_attempts() {
    let up_at = Instant::now() + 100 * SECOND;
    let endpoint = Endpoint::new(Duration::from_millis(1), move |_, _| {
        if Instant::now() < up_at { Err(down()) } else { Ok(()) }
    });
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let queue = Queue::builder()
        .concurrency(8)
        // Three attempts each would be spent within seconds.
        .redeliver(Schedule::delays([SECOND, SECOND]))
        .circuit(Breaker::new(3, 10 * SECOND).unwrap())
        .dead_letter(Arc::clone(&dead))
        .spawn_tokio(Arc::clone(&endpoint))
        .unwrap();
    for event in 0..1_000 {
        queue.write(&event).await.unwrap();
    }
    queue.close().await.unwrap();
    assert_eq!(dead.len(), 0);
    assert_stats(&queue, [1_000, 1_000, 0, 0, 0, 0]);
    let attempts = endpoint.attempts.lock();
    let failed = attempts.iter().filter(|attempt| !attempt.2).count();
    // The eight in flight at first, and a probe every ten seconds.
    assert!(failed <= 8 + 11, "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_gives_up_what_is_parked() {
    let endpoint = Endpoint::new(Duration::ZERO, |_, _| Err(down()));
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let queue = Queue::builder()
        .concurrency(4)
        .ordered_by(|event: &u64| event % 5)
        .redeliver(Schedule::delays([HOUR; 100]))
        .dead_letter(Arc::clone(&dead))
        .spawn_tokio(Arc::clone(&endpoint))
        .unwrap();
    for event in 0..50 {
        queue.write(&event).await.unwrap();
    }
    let error = queue.close_within(SECOND).await.unwrap_err();
    assert_eq!(error.undelivered(), Some(50));
    assert_stats(&queue, [50, 0, 0, 0, 50, 0]);
    let mut letters = dead.take();
    letters.sort_by_key(|letter| letter.event);
    assert!(letters.iter().map(|letter| letter.event).eq(0..50));
    assert!(letters[..5].iter().all(|letter| letter.attempts == 1));
    assert!(letters[5..].iter().all(|letter| letter.attempts == 0));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_time_is_dropped_before_what_is_newer() {
    let endpoint =
        Endpoint::new(Duration::ZERO, |event, _| if event < 5 { Err(down()) } else { Ok(()) });
    let queue = Queue::builder()
        .capacity(3)
        .overflow(events_queue::Overflow::DropOldest)
        .redeliver(Schedule::delays([HOUR; 100]))
        .spawn_tokio(Arc::clone(&endpoint))
        .unwrap();
    for event in 0..10 {
        queue.write(&event).await.unwrap();
        tokio::time::sleep(SECOND).await;
    }
    let stats = queue.stats();
    assert_balanced(&stats);
    assert_eq!((stats.delivered, stats.dropped.overflow, stats.parked), (5, 3, 2));
    queue.abort();
    drop(queue.close().await);
    assert_balanced(&queue.stats());
}

/// Panics in whatever way it is asked for.
struct Panics;

impl Close for Panics {
    fn close(&self) -> Closing<'_> {
        Closing::done()
    }
}

impl AsyncSink<u64> for Panics {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        assert_ne!(*event, 1, "lost my marbles");
        if *event == 2 { Err(down()) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_or_a_schedule_that_panics_fails_its_event_alone() {
    let queue: Builder<u64, Single> = Queue::builder();
    let queue = queue
        .concurrency(2)
        .redeliver(Schedule::from_fn(|_| panic!("no idea")))
        .spawn_tokio(Panics)
        .unwrap();
    for event in 0..10 {
        queue.write(&event).await.unwrap();
    }
    drop(queue.close().await);
    assert_stats(&queue, [10, 8, 2, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_a_busy_delivery_has_parked_is_due_in_time_for_an_idle_one() {
    /// Of the first batch event 1 fails; event 3 takes an hour.
    struct Slow(Mutex<Vec<(Vec<u64>, Instant)>>);
    impl Close for Slow {}
    impl AsyncSink<[u64]> for Slow {
        async fn write(&self, events: &[u64]) -> Result<(), SinkError> {
            let is_first = {
                let mut batches = self.0.lock();
                batches.push((events.to_vec(), Instant::now()));
                batches.len() == 1
            };
            if is_first {
                tokio::time::sleep(Duration::from_millis(10)).await;
                return Err(SinkError::of_batch(vec![(0, down())]).unwrap());
            }
            if events.contains(&3) {
                tokio::time::sleep(HOUR).await;
            }
            Ok(())
        }
    }
    let slow = Arc::new(Slow(Mutex::default()));
    let queue = Queue::builder()
        .concurrency(2)
        .ordered_by(|event: &u64| *event == 1)
        .batch(2, Duration::ZERO)
        .redeliver(Schedule::delays([SECOND]))
        .spawn_tokio(Arc::clone(&slow))
        .unwrap();
    let start = Instant::now();
    // Event 3 waits for 2, of its key; whoever looks has nothing else to wait for.
    for event in 1..4 {
        queue.write(&event).await.unwrap();
    }
    queue.close().await.unwrap();
    let batches = slow.0.lock();
    let again = batches.iter().skip(1).find(|(events, _)| events.contains(&1)).unwrap();
    assert!(again.1 - start < 2 * SECOND, "{batches:?}");
    drop(batches);
    assert_stats(&queue, [3, 3, 0, 0, 0, 0]);
}
