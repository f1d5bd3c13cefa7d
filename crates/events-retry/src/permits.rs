//! Who may write now, and how many may: what threads and tasks share of an `AdaptiveLimit`.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use events_core::{
    SinkError,
    engine::{TraceLimit, clock, feed::WaitQueue, isolate, sync::Mutex, wake},
};

use crate::limit_stats::LimitStats;

/// A number of permits that moves, and the line for them.
///
/// The number rises by one when as many writes as it has permits went well, as long as all were in
/// use, and is halved when one did not. Whoever holds a permit from before it was last halved has
/// no say: the answers of one round trip halve it once.
pub(crate) struct Permits {
    minimum: usize,
    maximum: usize,
    /// An answer that takes longer did not go well.
    latency: Option<Duration>,
    state: Mutex<State>,
    /// How often the limit was halved, as far as it was told.
    halved: TraceLimit,
}

struct State {
    limit: usize,
    in_flight: usize,
    wait_queue: WaitQueue<()>,
    /// How many writes went well since the limit last moved.
    went_well: usize,
    /// How often it was halved.
    round: u64,
    end: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    Closed,
    Aborted,
}

/// What an answer tells of the destination.
#[derive(Clone, Copy)]
enum Sign {
    WentWell,
    Nothing,
    Struggles,
}

impl Permits {
    pub(crate) fn new(
        minimum: usize,
        initial: usize,
        maximum: usize,
        latency: Option<Duration>,
    ) -> Self {
        let state = State {
            limit: initial,
            in_flight: 0,
            wait_queue: WaitQueue::new(),
            went_well: 0,
            round: 0,
            end: None,
        };
        Self { minimum, maximum, latency, state: Mutex::new(state), halved: TraceLimit::new() }
    }

    /// Names the writes that hold permits: see [`isolate`].
    pub(crate) fn name(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// A permit, first come first served.
    pub(crate) const fn enter(&self) -> Entry<'_> {
        Entry { permits: self, number: None }
    }

    /// No new writes; those that wait end.
    pub(crate) fn close(&self) {
        self.end(End::Closed);
    }

    /// No new writes; those that wait are given up for an abort's sake.
    pub(crate) fn abort(&self) {
        self.end(End::Aborted);
    }

    fn end(&self, end: End) {
        let mut state = self.state.lock();
        state.end = Some(end);
        let waiting = state.wait_queue.clear();
        drop(state);
        for ((), waker) in waiting {
            wake(waker);
        }
    }

    pub(crate) fn stats(&self) -> LimitStats {
        let state = self.state.lock();
        let State { limit, in_flight, .. } = *state;
        LimitStats { limit, in_flight, waiting: state.wait_queue.len() }
    }

    fn permit(&self, round: u64) -> Permit<'_> {
        let since = self.latency.map(|_| clock::now());
        Permit { permits: self, round, since, sign: Sign::Nothing }
    }

    fn give_back(&self, round: u64, sign: Sign) {
        let mut state = self.state.lock();
        let halved = round == state.round && self.heed(&mut state, sign);
        let limit = state.limit;
        state.in_flight -= 1;
        let admitted = state.admit();
        drop(state);
        admitted.into_iter().for_each(wake);
        if halved {
            self.halved.tell(1, |count| {
                tracing::debug!(count, limit, "the destination struggles: fewer writes");
            });
        }
    }

    /// True if the limit was halved, which is to be told once the lock is released.
    fn heed(&self, state: &mut State, sign: Sign) -> bool {
        match sign {
            // A limit that is not used up has not been tried.
            Sign::WentWell if state.in_flight >= state.limit => {
                state.went_well += 1;
                if state.went_well >= state.limit {
                    state.went_well = 0;
                    state.limit = self.maximum.min(state.limit + 1);
                }
            }
            Sign::Struggles => {
                state.went_well = 0;
                state.round += 1;
                state.limit = self.minimum.max(state.limit / 2);
                return true;
            }
            Sign::WentWell | Sign::Nothing => {}
        }
        false
    }
}

impl State {
    /// Lets in as many as may write: whom to wake.
    fn admit(&mut self) -> Vec<Waker> {
        let mut admitted = Vec::new();
        while self.in_flight < self.limit {
            let Some(((), waker)) = self.wait_queue.admit() else { break };
            self.in_flight += 1;
            admitted.push(waker);
        }
        admitted
    }
}

/// The future of [`Permits::enter`].
pub(crate) struct Entry<'a> {
    permits: &'a Permits,
    /// The place in line, if there.
    number: Option<u64>,
}

impl<'a> Future for Entry<'a> {
    type Output = Result<Permit<'a>, SinkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let permits = self.permits;
        // Declared before the lock, so that what it replaces is dropped outside.
        let mut waker = cx.waker().clone();
        let mut state = permits.state.lock();
        let Some(number) = self.number else {
            if state.end.is_some() {
                return Poll::Ready(Err(SinkError::closed()));
            }
            // Whoever makes room lets in those who stand in line: with room left, there is nobody.
            if state.in_flight < state.limit {
                state.in_flight += 1;
                let round = state.round;
                drop(state);
                return Poll::Ready(Ok(permits.permit(round)));
            }
            if isolate::is_inside(permits.name()) {
                return Poll::Ready(Err(SinkError::would_deadlock(
                    "this is called from inside a write that holds what it would wait for",
                )));
            }
            self.number = Some(state.wait_queue.enqueue((), waker));
            return Poll::Pending;
        };
        let Poll::Ready(admitted) = state.wait_queue.poll(number, &mut waker) else {
            return Poll::Pending;
        };
        let (round, end) = (state.round, state.end);
        drop(state);
        self.number = None;
        Poll::Ready(match end {
            _ if admitted => Ok(permits.permit(round)),
            Some(End::Aborted) => {
                Err(SinkError::undelivered_events(1).with_source("the limit was aborted"))
            }
            _ => Err(SinkError::closed()),
        })
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.permits.state.lock();
        let left = state.wait_queue.cancel(number);
        let admitted = left.is_none() && state.wait_queue.was_admitted(number);
        drop(state);
        drop(left);
        if admitted {
            // It was let in and has not heard of it: the next one takes its place.
            drop(self.permits.permit(0));
        }
    }
}

/// The right to write once. Given back when dropped.
pub(crate) struct Permit<'a> {
    permits: &'a Permits,
    round: u64,
    since: Option<Instant>,
    sign: Sign,
}

impl Permit<'_> {
    /// The write was answered so.
    pub(crate) fn answered(mut self, result: &Result<(), SinkError>) {
        let took = self.since.map(|since| clock::now().saturating_duration_since(since));
        self.sign = match result {
            _ if took > self.permits.latency => Sign::Struggles,
            Ok(()) => Sign::WentWell,
            Err(error) if error.kind().is_retryable() => Sign::Struggles,
            Err(_) => Sign::Nothing,
        };
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.permits.give_back(self.round, self.sign);
    }
}
