//! What a run does: a pure function of its seed.

use std::time::Duration;

use events_broadcast::Lag;
use events_core::Overflow;
use fastrand::Rng;

use crate::fault::Faults;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) world: World,
    pub(crate) stage: Stage,
    pub(crate) writers: Vec<Writer>,
    /// Microseconds between the flushes, as long as it runs; none without.
    pub(crate) flushes: Option<u64>,
    pub(crate) ending: Ending,
}

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum World {
    /// A thread for each.
    Threads,
    /// Tasks on one thread, whose clock stands still while there is something to do: deadlines cost
    /// nothing, and a run is the same every time.
    Paused,
    /// Tasks on two threads.
    Tasks,
}

/// What a pipeline is made of.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    Destination(Faults),
    Retry(Strategy, Faults),
    Queue(Box<Queue>),
    Broadcaster(Broadcaster),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Strategy {
    /// So many failures open it for so many microseconds.
    Breaker(u32, u64),
    /// At most so many microseconds, for so many attempts.
    Backoff(u64, u32),
    /// A breaker, for so many microseconds in all.
    Elapsed(u64),
}

/// What drives a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drive {
    /// The component's own thread or task.
    Own,
    /// Whoever polls the future that it is given.
    Pair,
}

#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) drive: Drive,
    pub(crate) capacity: Option<usize>,
    /// A bound in bytes, for events of one to four each.
    pub(crate) bytes: Option<usize>,
    pub(crate) overflow: Option<Overflow>,
    /// How many events at most, and how many microseconds it lingers.
    pub(crate) batch: Option<(usize, u64)>,
    pub(crate) lanes: Lanes,
    pub(crate) next: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lanes {
    One,
    ByKey(usize),
    ByRoom(usize),
}

impl Lanes {
    pub(crate) const fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::ByKey(lanes) | Self::ByRoom(lanes) => lanes,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Broadcaster {
    pub(crate) direct: Vec<Member>,
    pub(crate) spawned: Vec<Subscriber>,
    pub(crate) pulled: Vec<Puller>,
}

/// A sink that the writers call.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) next: Stage,
    /// When it is taken out, if it is.
    pub(crate) leaves: Option<Moment>,
}

/// A sink with a worker.
#[derive(Debug, Clone)]
pub(crate) struct Subscriber {
    pub(crate) drive: Drive,
    pub(crate) lag: Lag,
    pub(crate) next: Stage,
    /// When it joins, if not from the start.
    pub(crate) joins: Option<Moment>,
    /// When it ends alone, if it does, and how.
    pub(crate) leaves: Option<(Moment, End)>,
}

/// Code that pulls.
#[derive(Debug, Clone)]
pub(crate) struct Puller {
    pub(crate) lag: Lag,
    /// Microseconds between two events.
    pub(crate) naps: u64,
    /// After how many it has had enough.
    pub(crate) enough: usize,
}

/// Once so many writes have been answered, or nothing has happened for a while.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment(pub(crate) u64);

#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) writes: u16,
    /// Whether it blocks its thread. In tasks none does.
    pub(crate) blocks: bool,
    /// Microseconds between two writes, for one out of so many.
    pub(crate) pause: Option<(u64, u16)>,
    /// One write out of so many is given up after so many microseconds.
    pub(crate) cancels: Option<(u16, u64)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) moment: Moment,
    pub(crate) end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Close,
    /// Two who close at the same time.
    CloseTwice,
    /// So many microseconds.
    CloseWithin(u64),
    AbortAndClose,
    CloseThenAbort,
    /// Whoever polls the worker drops it, if there is such a worker.
    DropWorkers,
    DropHandles,
}

impl End {
    /// Whether it may give events up.
    pub(crate) const fn gives_up(self) -> bool {
        matches!(
            self,
            Self::CloseWithin(_) | Self::AbortAndClose | Self::CloseThenAbort | Self::DropWorkers
        )
    }
}

impl Plan {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut dice = Dice { rng: Rng::with_seed(seed), world: World::Threads };
        dice.world = dice.pick(&[World::Threads, World::Paused, World::Paused, World::Tasks]);
        let stage = dice.root();
        let writers: Vec<_> = (0..dice.rng.u8(1..4)).map(|_| dice.writer()).collect();
        let total = writers.iter().map(|writer| u64::from(writer.writes)).sum();
        let flushes = dice.one_in(3).then(|| dice.micros());
        let ending = Ending { moment: Moment(dice.rng.u64(0..=total)), end: dice.end() };
        Self { world: dice.world, stage, writers, flushes, ending }
    }
}

/// How deep a pipeline goes.
const OUTERMOST: u8 = 2;

struct Dice {
    rng: Rng,
    world: World,
}

impl Dice {
    fn one_in(&mut self, times: u8) -> bool {
        self.rng.u8(..times) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }

    fn micros(&mut self) -> u64 {
        self.pick(&[1, 20, 100, 400])
    }

    fn root(&mut self) -> Stage {
        match self.rng.u8(..8) {
            0 => {
                // Nobody stands between its close and whoever closes.
                let faults = Faults { closes_badly: false, ..self.faults() };
                Stage::Retry(self.strategy(), faults)
            }
            1..=4 => Stage::Queue(Box::new(self.queue(OUTERMOST))),
            _ => Stage::Broadcaster(self.broadcaster(OUTERMOST)),
        }
    }

    /// What comes behind a worker. `depth` bounds how many more there may be.
    fn next(&mut self, depth: u8) -> Stage {
        match self.rng.u8(..8) {
            0 if depth > 0 => Stage::Queue(Box::new(self.queue(depth - 1))),
            1 if depth > 0 => Stage::Broadcaster(self.broadcaster(depth - 1)),
            2 | 3 => Stage::Retry(self.strategy(), self.faults()),
            _ => Stage::Destination(self.faults()),
        }
    }

    fn strategy(&mut self) -> Strategy {
        match self.rng.u8(..3) {
            0 => Strategy::Breaker(self.rng.u32(1..4), self.micros()),
            1 => Strategy::Backoff(self.micros(), self.rng.u32(1..5)),
            _ => Strategy::Elapsed(self.rng.u64(1..2_000)),
        }
    }

    fn faults(&mut self) -> Faults {
        let mut share = |most: u16| {
            if self.rng.u8(..3) == 0 { self.rng.u16(..most) } else { 0 }
        };
        let (rejects, is_unavailable, refuses_some) = (share(200), share(300), share(300));
        let (panics, yields, naps) = (share(100), share(500), share(400));
        // The end of everything: a few of many runs are enough.
        let (closes, gets_stuck) = (share(60), share(60));
        Faults {
            seed: self.rng.u64(..),
            rejects,
            is_unavailable,
            refuses_some,
            closes: if self.one_in(3) { closes } else { 0 },
            panics,
            yields,
            naps,
            gets_stuck: if self.can_be_stuck() { gets_stuck } else { 0 },
            heeds_abort: !self.one_in(3),
            closes_badly: self.one_in(10),
        }
    }

    /// On the real clock a sink that is stuck costs a tenth of a second.
    fn can_be_stuck(&mut self) -> bool {
        self.world == World::Paused || self.one_in(20)
    }

    fn drive(&mut self) -> Drive {
        self.pick(&[Drive::Own, Drive::Own, Drive::Pair])
    }

    fn queue(&mut self, depth: u8) -> Queue {
        let most = self.pick(&[2, 8, 40, 200]);
        let mut capacity = (!self.one_in(4)).then(|| self.rng.usize(1..=most));
        let lanes = match self.rng.u8(..6) {
            0 => Lanes::ByKey(self.rng.usize(1..=4)),
            1 => Lanes::ByRoom(self.rng.usize(1..=4)),
            _ => Lanes::One,
        };
        capacity = capacity.map(|capacity| capacity.max(lanes.count()));
        let bytes = self.one_in(4).then(|| self.rng.usize(1..=2 * most));
        if bytes.is_some() && self.one_in(2) {
            capacity = None;
        }
        let brief = Duration::from_micros(self.micros());
        let overflow = self.pick(&[
            Overflow::Block,
            Overflow::BlockFor(brief),
            Overflow::Reject,
            Overflow::DropOldest,
            Overflow::DropOldest,
            Overflow::DropNewest,
        ]);
        let most = self.pick(&[2, 10, 50]);
        let linger = self.pick(&[0, 0, 100]);
        let batch = self.one_in(2).then(|| (self.rng.usize(1..=most), linger));
        // A batch is for a destination alone.
        let next = self.next(if batch.is_some() { 0 } else { depth });
        Queue {
            drive: self.drive(),
            capacity,
            bytes,
            overflow: (capacity.is_some() || bytes.is_some()).then_some(overflow),
            batch,
            lanes,
            next,
        }
    }

    fn lag(&mut self) -> Lag {
        let most = self.pick(&[2, 8, 40, 200]);
        match self.rng.u8(..4) {
            0 => Lag::Unbounded,
            1 => Lag::Disconnect(self.rng.usize(1..=most)),
            _ => Lag::DropOldest(self.rng.usize(1..=most)),
        }
    }

    fn broadcaster(&mut self, depth: u8) -> Broadcaster {
        let direct = (0..self.rng.u8(..3)).map(|_| self.member(depth)).collect();
        // Those that share workers are many. Behind a worker there is one at least, whose close tells
        // that all has been delivered.
        let least = usize::from(depth < OUTERMOST);
        let spawned = self.pick(&[0, 1, 2, 3, 8]).max(least);
        let spawned = (0..spawned).map(|_| self.subscriber(depth)).collect();
        let pulled = (0..self.rng.u8(..3)).map(|_| self.puller()).collect();
        Broadcaster { direct, spawned, pulled }
    }

    fn member(&mut self, depth: u8) -> Member {
        let next = if self.one_in(2) {
            Stage::Queue(Box::new(self.queue(depth.saturating_sub(1))))
        } else {
            // Called in the middle of a write, where nothing may wait.
            let faults = Faults { gets_stuck: 0, naps: 0, ..self.faults() };
            Stage::Destination(faults)
        };
        Member { next, leaves: self.one_in(4).then(|| self.moment()) }
    }

    fn subscriber(&mut self, depth: u8) -> Subscriber {
        Subscriber {
            drive: self.drive(),
            lag: self.lag(),
            next: self.next(depth.saturating_sub(1)),
            joins: self.one_in(4).then(|| self.moment()),
            leaves: self.one_in(4).then(|| {
                let within = self.rng.u64(..500);
                let end = self.pick(&[End::Close, End::CloseWithin(within), End::AbortAndClose]);
                (self.moment(), end)
            }),
        }
    }

    fn puller(&mut self) -> Puller {
        Puller {
            lag: self.lag(),
            naps: self.pick(&[0, 0, 20, 100]),
            enough: if self.one_in(5) { self.rng.usize(..20) } else { usize::MAX },
        }
    }

    fn moment(&mut self) -> Moment {
        Moment(self.rng.u64(..100))
    }

    fn writer(&mut self) -> Writer {
        let most = self.pick(&[5, 50, 50, 300]);
        Writer {
            writes: self.rng.u16(1..=most),
            blocks: self.world == World::Threads && !self.one_in(4),
            pause: self.one_in(2).then(|| (self.micros(), self.rng.u16(1..20))),
            cancels: self.one_in(3).then(|| (self.rng.u16(1..10), self.pick(&[0, 0, 1, 50]))),
        }
    }

    fn end(&mut self) -> End {
        match self.rng.u8(..16) {
            0..=3 => End::Close,
            4 => End::CloseTwice,
            5..=8 => End::CloseWithin(self.pick(&[0, 1, 50, 300, 2_000])),
            9..=11 => End::AbortAndClose,
            12 | 13 => End::CloseThenAbort,
            14 => End::DropWorkers,
            _ => End::DropHandles,
        }
    }
}
