//! Builds the pipeline of a plan, with a journal at every entry and exit.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use events_core::{Breaker, ExponentialBackoff, MaxAttempts, MaxElapsed, engine::clock};
use events_queue::Queue;
use events_retry::Retry;
use parking_lot::Mutex;

use crate::{
    component::{Component, Strategy},
    destination::{Destination, Signals},
    event::Event,
    fault::Faults,
    found::{Account, Found, Kind, Retried, Window},
    journal::{Dead, Journal, Recorded, Time},
    pause::{Latch, nap},
    plan::{self, Drive, Lanes, Moment, Stage, World},
    world::Job,
};

/// Where a stage begins, with its journal.
pub(crate) type Entry = Arc<Recorded<Component>>;

/// What a run is made of. Its parts share it, since some join late.
pub(crate) struct Pipeline {
    pub(crate) world: World,
    pub(crate) time: Arc<Time>,
    /// The journal of what is written to the first stage.
    pub(crate) written: Arc<Journal>,
    /// Opened to have whoever drives a worker drop it.
    pub(crate) dismissed: Arc<Latch>,
    /// What is done to the pipeline while it is written to.
    pub(crate) jobs: Mutex<Vec<Job>>,
    /// Those that drive workers.
    pub(crate) drivers: Mutex<Vec<Job>>,
    pub(crate) destinations: Mutex<Vec<Placed>>,
    /// When each flush began and ended.
    pub(crate) flushes: Mutex<Vec<(u64, u64)>>,
    pub(crate) found: Mutex<Found>,
    pub(crate) problems: Mutex<Vec<String>>,
}

pub(crate) struct Placed {
    pub(crate) signals: Arc<Signals>,
    /// Whether it is closed by a worker, and so even if all handles are dropped.
    pub(crate) is_behind_worker: bool,
}

impl Pipeline {
    pub(crate) fn new(world: World) -> Arc<Self> {
        let time = Arc::new(Time::default());
        Arc::new(Self {
            world,
            written: Journal::new(&time),
            time,
            dismissed: Arc::default(),
            jobs: Mutex::default(),
            drivers: Mutex::default(),
            destinations: Mutex::default(),
            flushes: Mutex::default(),
            found: Mutex::default(),
            problems: Mutex::default(),
        })
    }

    /// The first stage, and with it the others.
    pub(crate) fn first(self: &Arc<Self>, stage: &Stage) -> Entry {
        self.stage("first", stage, &self.written, false)
    }

    pub(crate) fn stage(
        self: &Arc<Self>,
        name: &str,
        stage: &Stage,
        entry: &Arc<Journal>,
        is_behind_worker: bool,
    ) -> Entry {
        let mut attempts = None;
        let inner = match stage {
            Stage::Destination(faults) => {
                Component::Destination(self.destination(*faults, is_behind_worker))
            }
            Stage::Retry(plan, faults) => {
                let destination = self.destination(*faults, is_behind_worker);
                let inner = Recorded::new(destination, &self.time);
                attempts = Some(Arc::clone(&inner.journal));
                Component::Retry(Retry::new(inner, strategy(*plan)))
            }
            Stage::Queue(plan) => Component::Queue(self.queue(name, plan, entry)),
            Stage::Broadcaster(plan) => Component::Broadcaster(self.broadcaster(name, plan, entry)),
        };
        let sink = Arc::new(Recorded { inner, journal: Arc::clone(entry) });
        if let Some(exit) = attempts {
            self.found.lock().retries.push(Retried {
                name: format!("{name}, retry"),
                entry: Arc::clone(entry),
                exit,
                sink: Arc::downgrade(&sink),
            });
        }
        sink
    }

    fn destination(&self, faults: Faults, is_behind_worker: bool) -> Destination {
        let signals = Arc::new(Signals::default());
        let placed = Placed { signals: Arc::clone(&signals), is_behind_worker };
        self.destinations.lock().push(placed);
        Destination::new(faults, signals)
    }

    fn queue(
        self: &Arc<Self>,
        name: &str,
        plan: &plan::Queue,
        entry: &Arc<Journal>,
    ) -> Queue<Event> {
        let name = format!("{name}, queue");
        let exit = Journal::new(&self.time);
        let next = self.stage(&name, &plan.next, &exit, true);
        let delivers_to = Arc::downgrade(&next);
        let dead = Arc::new(Dead::default());
        let mut builder = Queue::builder().dead_letter(Arc::clone(&dead));
        if let Some(capacity) = plan.capacity {
            builder = builder.capacity(capacity);
        }
        if let Some(bytes) = plan.bytes {
            builder = builder.capacity_bytes(bytes, |event| 1 + usize::from(event.number % 4));
        }
        if let Some(overflow) = plan.overflow {
            builder = builder.overflow(overflow);
        }
        builder = match plan.lanes {
            Lanes::One => builder,
            Lanes::ByKey(lanes) => {
                builder.concurrency(lanes).ordered_by(|event: &Event| event.key())
            }
            Lanes::ByRoom(lanes) => builder.concurrency(lanes),
        };
        let runs = (plan.drive, self.world);
        let queue = if let Some((most, linger)) = plan.batch {
            let builder = builder.batch(most, Duration::from_micros(linger));
            match runs {
                (Drive::Pair, _) => self.drive(builder.pair(next).unwrap()),
                (Drive::Own, World::Threads) => builder.spawn(next).unwrap(),
                (Drive::Own, _) => builder.spawn_tokio(next).unwrap(),
            }
        } else {
            match runs {
                (Drive::Pair, _) => self.drive(builder.pair(next).unwrap()),
                (Drive::Own, World::Threads) => builder.spawn(next).unwrap(),
                (Drive::Own, _) => builder.spawn_tokio(next).unwrap(),
            }
        };
        let counted = queue.clone();
        self.found.lock().accounts.push(Arc::new(Account {
            name,
            entry: Arc::clone(entry),
            exit,
            dead,
            next: delivers_to,
            stats: Mutex::new(Some(Box::new(move || counted.stats()))),
            kind: Kind::Queue { lanes: plan.lanes, overflow: plan.overflow },
            drive: plan.drive,
            window: Window::from(0, 0),
            aborted: AtomicU64::new(u64::MAX),
        }));
        queue
    }

    /// Has the worker of a pair driven until it ends or is dismissed.
    pub(crate) fn drive<T>(&self, pair: (T, impl Future<Output = ()> + Send + 'static)) -> T {
        let (handle, worker) = pair;
        let dismissed = Arc::clone(&self.dismissed);
        let driver = self.world.go(async move {
            // The worker is dropped where this ends.
            let _ended = clock::before(worker, dismissed.pass()).await;
        });
        self.drivers.lock().push(driver);
        handle
    }

    /// Does something beside the rest, before the pipeline ends or while it does.
    pub(crate) fn beside(&self, job: impl Future<Output = ()> + Send + 'static) {
        self.jobs.lock().push(self.world.go(job));
    }

    /// Something does not hold.
    pub(crate) fn problem(&self, problem: String) {
        self.problems.lock().push(problem);
    }

    /// Waits until every worker has closed its destination.
    pub(crate) async fn all_closed(&self) {
        let ends = std::mem::take(&mut *self.destinations.lock());
        for placed in ends.iter().filter(|placed| placed.is_behind_worker) {
            placed.signals.closed.pass().await;
        }
    }

    /// Has nothing be stuck any more.
    pub(crate) fn release(&self) {
        for placed in &*self.destinations.lock() {
            placed.signals.release.open();
        }
    }
}

fn strategy(plan: plan::Strategy) -> Strategy {
    let breaker = |failures, micros| Breaker::new(failures, Duration::from_micros(micros)).unwrap();
    match plan {
        plan::Strategy::Breaker(failures, micros) => Strategy::Breaker(breaker(failures, micros)),
        plan::Strategy::Backoff(micros, attempts) => {
            let most = Duration::from_micros(micros);
            let backoff = ExponentialBackoff::builder().minimum(most / 2).factor(most);
            let backoff = backoff.maximum(most).seed(micros);
            Strategy::Backoff(MaxAttempts::new(backoff.build().unwrap(), attempts).unwrap())
        }
        plan::Strategy::Elapsed(micros) => {
            let limit = Duration::from_micros(micros);
            Strategy::Elapsed(MaxElapsed::new(breaker(2, 50), limit).unwrap())
        }
    }
}

impl Moment {
    /// Waits until it has come.
    pub(crate) async fn come(self, written: &Journal) {
        let (mut seen, mut idle) = (0, 0);
        while seen < self.0 && idle < 4 {
            nap(50).await;
            let answered = written.answered();
            idle = if answered == seen { idle + 1 } else { 0 };
            seen = answered;
        }
    }
}
