//! Random schedules against a simple model, on tokio's paused clock.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use tokio::time::timeout;

use super::{Deliverer, Mode, Policy, Rules, schedule};
use crate::{
    Breaker, Close, Closing, DeadLetter, Schedule, Sink, SinkError,
    engine::{Account, AccountConfig, Cursor, Deliver, feed::Feed},
    runtime::clock,
};

const MILLISECOND: Duration = Duration::from_millis(1);

/// What one run is made of.
#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    deliverers: usize,
    most: usize,
    keys: Option<u64>,
    retries: Option<u32>,
    circuit: bool,
    bound: Option<u64>,
    events: u64,
    /// In how many of a hundred answers the destination fails, rejects, and panics.
    fails: [u8; 3],
    pauses: bool,
    end: End,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Close,
    Deadline,
    Abort,
    DropDeliverers,
}

impl Plan {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let fails = match rng.u8(..4) {
            0 => [0, 0, 0],
            1 => [30, 0, 0],
            2 => [100, 0, 0],
            _ => [20, 5, 5],
        };
        let ends = [End::Close, End::Close, End::Deadline, End::Abort, End::DropDeliverers];
        let end = rng.choice(ends).unwrap();
        // While the destination is down a circuit spends no attempts, and a close waits for ever.
        let circuit = rng.bool() && (fails[0] < 100 || !matches!(end, End::Close));
        Self {
            seed,
            deliverers: rng.choice([1, 2, 3, 8, 32]).unwrap(),
            most: rng.choice([1, 1, 4, 100]).unwrap(),
            keys: rng.choice([None, Some(1), Some(3), Some(20)]).unwrap(),
            retries: rng.choice([None, Some(1), Some(4), Some(30)]).unwrap(),
            circuit,
            bound: rng.choice([None, None, Some(1), Some(7)]).unwrap(),
            events: rng.choice([0, 1, 10, 300]).unwrap(),
            fails,
            pauses: rng.u8(..4) == 0,
            end,
        }
    }

    fn key(&self, event: u64) -> u64 {
        self.keys.map_or(event, |keys| event.wrapping_mul(0x9E37_79B9) % keys)
    }
}

/// A destination that answers at random, and remembers what it was given.
struct World {
    plan: Plan,
    locked: Mutex<Locked>,
}

struct Locked {
    rng: Rng,
    /// What it has, in order.
    taken: Vec<u64>,
    in_hand: Vec<u64>,
    attempts: HashMap<u64, u32>,
    dead: Vec<u64>,
    closes: u32,
    aborted: bool,
}

#[derive(Clone)]
struct Destination(Arc<World>);

impl Close for Destination {
    fn close(&self) -> Closing<'_> {
        self.0.locked.lock().unwrap().closes += 1;
        Closing::done()
    }

    fn abort(&self) {
        self.0.locked.lock().unwrap().aborted = true;
    }
}

impl Sink<DeadLetter<u64>> for Destination {
    fn write(&self, letter: &DeadLetter<u64>) -> Result<(), SinkError> {
        self.0.locked.lock().unwrap().dead.push(letter.event);
        Ok(())
    }
}

impl Deliver<u64> for Destination {
    fn span(&self, available: usize) -> usize {
        available
    }

    async fn deliver(&self, events: &[u64]) -> Result<(), SinkError> {
        let wait = {
            let mut locked = self.0.locked.lock().unwrap();
            for event in events {
                let of_key = |other: &&u64| self.0.plan.key(**other) == self.0.plan.key(*event);
                let others = locked.in_hand.iter().filter(of_key).count();
                assert!(self.0.plan.keys.is_none() || others == 0, "two of one key at a time");
            }
            locked.in_hand.extend(events);
            let batches = self.0.plan.deliverers * self.0.plan.most;
            assert!(locked.in_hand.len() <= batches, "more in flight than allowed");
            Duration::from_millis(locked.rng.u64(..20))
        };
        let leave = Leave(&self.0, events.to_vec());
        clock::sleep(wait).await;
        drop(leave);
        let mut locked = self.0.locked.lock().unwrap();
        for event in events {
            *locked.attempts.entry(*event).or_default() += 1;
        }
        let [fails, rejects, panics] = self.0.plan.fails;
        let dice = locked.rng.u8(..100);
        if dice < fails {
            let named = locked.rng.bool().then(|| locked.rng.usize(..events.len()));
            let Some(named) = named else { return Err(SinkError::unavailable("503")) };
            let others = events.iter().enumerate().filter(|(at, _)| *at != named);
            let others: Vec<_> = others.map(|(_, event)| *event).collect();
            locked.taken.extend(others);
            return Err(SinkError::of_batch(vec![(named, SinkError::unavailable("503"))]).unwrap());
        }
        if dice < fails + rejects {
            return Err(SinkError::rejected("400"));
        }
        if dice < fails + rejects + panics {
            drop(locked);
            // Without a word on the test's output.
            resume_unwind(Box::new("lost my marbles"));
        }
        locked.taken.extend(events);
        Ok(())
    }
}

/// Takes the events out of the destination's hands, also when a delivery is dropped.
struct Leave<'a>(&'a World, Vec<u64>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut locked = self.0.locked.lock().unwrap();
        locked.in_hand.retain(|event| !self.1.contains(event));
    }
}

type Built = (Arc<Account<u64>>, Arc<Feed<u64>>, Vec<Deliverer<u64, Destination>>);

fn build(plan: &Plan, world: &Arc<World>) -> Built {
    let feed = Arc::new(Feed::with_chunks(plan.most.max(5)));
    let cursor = Arc::new(Cursor::new(0, plan.bound));
    let parts = AccountConfig {
        sink: Arc::new(Destination(Arc::clone(world))),
        dead_letter: Some(Arc::new(Destination(Arc::clone(world)))),
        name: Arc::from("model"),
        owns_feed: true,
        driven_by_future: true,
        span: plan.most as u64,
        disconnect: false,
        cursor,
        on_end: None,
        on_abort: None,
    };
    let retries = plan.retries.map(|retries| {
        Schedule::exponential(MILLISECOND, 50 * MILLISECOND).attempts(retries + 1).jitter(0.5)
    });
    let policy = Policy {
        most: plan.most,
        linger: (plan.most.min(4), 10 * MILLISECOND),
        blocks: false,
        circuit: (plan.circuit && retries.is_some())
            .then(|| Breaker::new(3, 30 * MILLISECOND).unwrap()),
        disable_after: None,
    };
    let keys = plan.clone();
    let key = plan.keys.map(|_| Arc::new(move |event: &u64| keys.key(*event)) as _);
    let rules = Rules { key, schedule: retries };
    let reader = feed.reader(plan.bound);
    let destination = Destination(Arc::clone(world));
    let (account, deliverers) =
        schedule(reader, &destination, plan.deliverers, policy, &rules, parts);
    (account, feed, deliverers)
}

async fn run(plan: Plan) {
    let locked = Locked {
        rng: Rng::with_seed(plan.seed),
        taken: Vec::new(),
        in_hand: Vec::new(),
        attempts: HashMap::new(),
        dead: Vec::new(),
        closes: 0,
        aborted: false,
    };
    let world = Arc::new(World { plan: plan.clone(), locked: Mutex::new(locked) });
    let (account, feed, deliverers) = build(&plan, &world);
    let tasks: Vec<_> =
        deliverers.into_iter().map(|deliverer| tokio::spawn(deliverer.run())).collect();
    let mut rng = Rng::with_seed(!plan.seed);
    for event in 0..plan.events {
        feed.push(event).unwrap();
        match rng.u8(..40) {
            0 => {
                clock::sleep(Duration::from_millis(rng.u64(..10))).await;
                assert_no_slot_is_idle(&plan, &account).await;
            }
            1 if plan.pauses => account.pause(),
            2 if plan.pauses => account.resume(),
            3 => {
                let stats = account.stats();
                let all = stats.delivered + stats.failed + stats.dropped.total() + stats.pending;
                assert_eq!(stats.accepted, all, "{stats:?}");
                assert!(stats.in_flight + stats.parked <= stats.pending, "{stats:?}");
            }
            4 if account.mode() == Mode::Running && !plan.circuit && plan.retries != Some(30) => {
                account.flush().await.unwrap();
                let stats = account.stats();
                assert_eq!(stats.pending, 0, "nobody else writes: {stats:?}");
            }
            _ => {}
        }
    }
    let result = match plan.end {
        End::Close => account.close().await,
        End::Deadline => account.close_within(Duration::from_millis(rng.u64(..40))).await,
        End::Abort => {
            account.abort();
            account.close().await
        }
        End::DropDeliverers => {
            clock::sleep(Duration::from_millis(rng.u64(..30))).await;
            tasks.iter().for_each(tokio::task::JoinHandle::abort);
            account.close().await
        }
    };
    for task in tasks {
        let _aborted = task.await;
    }
    check(&plan, &world, &account, &result);
}

/// While no time passes, whatever may be delivered is being delivered, as far as there are slots.
async fn assert_no_slot_is_idle(plan: &Plan, account: &Account<u64>) {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let stats = account.stats();
    let is_free = stats.in_flight < plan.deliverers as u64 && !plan.circuit && !plan.pauses;
    // What is due, or was let go by its key, is not left lying.
    assert!(!is_free || stats.next_due.is_none_or(|due| !due.is_zero()), "{stats:?}");
    let is_plain = plan.keys.is_none() && plan.most == 1 && !plan.circuit && !plan.pauses;
    if is_plain && stats.in_flight < plan.deliverers as u64 {
        assert_eq!(stats.pending, stats.in_flight + stats.parked, "{stats:?}");
    }
}

fn check(plan: &Plan, world: &World, account: &Account<u64>, result: &Result<(), SinkError>) {
    let stats = account.stats();
    let locked = world.locked.lock().unwrap();
    assert_eq!(stats.pending + stats.in_flight + stats.parked, 0, "{stats:?}");
    assert_eq!(stats.accepted, plan.events);
    let all = stats.delivered + stats.failed + stats.dropped.total();
    assert_eq!(stats.accepted, all, "{stats:?}");
    assert!(locked.in_hand.is_empty());
    assert!(locked.closes >= 1);
    // Each event is in one place, but for those in the sink's hands when it was given up.
    let mut seen: HashMap<u64, (u32, u32)> = HashMap::new();
    locked.taken.iter().for_each(|event| seen.entry(*event).or_default().0 += 1);
    locked.dead.iter().for_each(|event| seen.entry(*event).or_default().1 += 1);
    let is_gentle = matches!(plan.end, End::Close);
    for (event, (taken, dead)) in &seen {
        assert!(*taken <= 1 && *dead <= 1, "{event}: {taken} times taken, {dead} times dead");
        assert!(!is_gentle || taken + dead == 1, "{event} both taken and dead");
    }
    let skipped = stats.dropped.overflow;
    assert_eq!(skipped > 0, skipped > 0 && plan.bound.is_some());
    assert_eq!(seen.len() as u64 + skipped, plan.events, "{stats:?}");
    assert_eq!(locked.dead.len() as u64, stats.failed + stats.dropped.abandoned, "{stats:?}");
    if is_gentle {
        assert_eq!(locked.taken.len() as u64, stats.delivered);
        assert_eq!(stats.dropped.abandoned, 0);
        assert!(result.is_ok(), "{result:?}");
    }
    let most = plan.retries.unwrap_or(0) + 1;
    let over = locked.attempts.iter().find(|(_, attempts)| **attempts > most);
    assert!(plan.circuit || over.is_none(), "{over:?} attempts");
    // Of a batch some may have been taken before others of their key that failed.
    if plan.keys.is_some() && plan.most == 1 {
        let mut last = HashMap::new();
        for event in &locked.taken {
            let before = last.insert(plan.key(*event), event);
            assert!(before.is_none_or(|before| before < event), "{event} after {before:?}");
        }
    }
}

#[test]
fn random_schedules_settle_each_event_once_in_the_order_of_its_key() {
    let seed = std::env::var("EVENTS_SCHEDULER_SEED").ok().map(|seed| seed.parse().unwrap());
    let runs = if seed.is_some() { 1 } else { 1_500 };
    for _ in 0..runs {
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        let plan = Plan::new(seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let limited = async { timeout(Duration::from_hours(1), run(plan.clone())).await };
            runtime.block_on(limited).expect("it hangs");
        }));
        if let Err(panic) = ended {
            eprintln!("EVENTS_SCHEDULER_SEED={seed} fails: {plan:?}");
            resume_unwind(panic);
        }
    }
}
