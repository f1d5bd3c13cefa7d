//! What a scheduler does next, decided under one lock without a clock and without calling anybody.

use std::{sync::Arc, time::Duration};

use super::{
    batch::{Batch, Meta, Opened, Outcome, Undelivered},
    held::Held,
};
use crate::{
    engine::feed::{Chunk, Reader},
    error::SinkError,
    strategy::verdict::Verdict,
};

/// The events that were taken from the log and are not settled. Times are nanoseconds since the
/// scheduler began.
pub(crate) struct State<E> {
    pub(crate) reader: Reader<E>,
    /// A chunk that somebody takes the keys of, and the first of its events that counts.
    opening: Option<(Arc<Chunk<E>>, u64)>,
    opened: Option<Opened<E>>,
    held: Held<E>,
    /// What each deliverer delivers.
    delivering: Vec<Option<Arc<Batch<E>>>>,
    in_flight: usize,
    /// How many batches were taken.
    batches: u64,
    /// How many events were given to the sink, each time counted.
    attempts: u64,
    /// How many events the log let go of that have not been counted as skipped.
    lost: u64,
    /// Whether somebody else settles what is left: nothing more is taken, and answers are ignored.
    given_up: bool,
}

/// A chunk that others still hold, with the keys of its events: those have to be cloned.
pub(crate) type Shared<E> = (Arc<Chunk<E>>, Vec<Result<u64, SinkError>>);

/// What is left when nothing more is to be delivered.
pub(crate) struct Rest<E> {
    pub(crate) events: Vec<Undelivered<E>>,
    /// Those that deliverers still hold.
    pub(crate) delivering: Vec<Arc<Batch<E>>>,
    /// Those that lie in the log, or were being taken from it, from a sequence number on.
    pub(crate) chunks: Vec<(Arc<Chunk<E>>, u64)>,
    /// Those that were dropped before, for the caller to let go of.
    pub(crate) dropped: Vec<E>,
}

/// What an answer leaves to be done outside the lock.
pub(crate) struct Answered<E> {
    /// How many events were delivered.
    pub(crate) delivered: u64,
    pub(crate) failed: Vec<(Undelivered<E>, SinkError)>,
    /// To be dropped where the events may do as they like.
    pub(crate) unneeded: Vec<E>,
    /// Whether some wait for their next attempt.
    pub(crate) has_parked: bool,
}

impl<E> State<E> {
    pub(crate) fn new(reader: Reader<E>, deliverers: usize, ordered: bool) -> Self {
        Self {
            reader,
            opening: None,
            opened: None,
            held: Held::new(ordered),
            delivering: (0..deliverers).map(|_| None).collect(),
            in_flight: 0,
            batches: 0,
            attempts: 0,
            lost: 0,
            given_up: false,
        }
    }

    pub(crate) const fn is_given_up(&self) -> bool {
        self.given_up
    }

    pub(crate) const fn is_ordered(&self) -> bool {
        self.held.is_ordered()
    }

    pub(crate) const fn is_opening(&self) -> bool {
        self.opening.is_some()
    }

    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) const fn parked(&self) -> usize {
        self.held.parked()
    }

    pub(crate) const fn attempts(&self) -> u64 {
        self.attempts
    }

    pub(crate) fn next_due(&mut self) -> Option<u64> {
        self.held.next_due()
    }

    /// Whether all that was taken from the log is settled.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight == 0
            && self.held.is_empty()
            && self.opened.is_none()
            && self.opening.is_none()
    }

    /// Whether there may be something to deliver `now`, as far as can be told without looking.
    pub(crate) fn has_work(&mut self, now: impl Fn() -> u64) -> bool {
        self.has_taken(now)
            || (self.opening.is_none() && self.reader.feed().head() > self.reader.at())
    }

    /// The same of what was taken from the log.
    pub(crate) fn has_taken(&mut self, now: impl Fn() -> u64) -> bool {
        self.opened.is_some() || self.held.next_due().is_some_and(|due| due <= now())
    }

    /// Before this sequence number all is settled.
    pub(crate) fn first_unsettled(&self) -> u64 {
        let numbers = |batch: &Arc<Batch<E>>| batch.metas.iter().map(|meta| meta.number).min();
        let delivering = self.delivering.iter().flatten().filter_map(numbers).min();
        let held = self.held.oldest().map(|(number, _)| number);
        let opened = self.opened.as_ref().map(|opened| opened.first);
        let opening = self.opening.as_ref().map(|(_, first)| *first);
        let taken = [delivering, held, opened, opening].into_iter().flatten().min();
        taken.unwrap_or_else(|| self.reader.at())
    }

    /// When the oldest event was written that was taken from the log and is not settled.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let written = |batch: &Arc<Batch<E>>| batch.metas.iter().map(|meta| meta.written).min();
        let delivering = self.delivering.iter().flatten().filter_map(written).min();
        let held = self.held.oldest().map(|(_, written)| written);
        let opened = self.opened.as_ref().map(|opened| opened.written);
        [delivering, held, opened].into_iter().flatten().min()
    }

    /// A chunk has been read: `keep` it in sight until it is [opened](Self::open).
    pub(crate) fn begin_opening(&mut self, chunk: Arc<Chunk<E>>) {
        let first = self.reader.at();
        // Where the log has let go of what lies between, that counts as skipped.
        self.lost += chunk.first().saturating_sub(first);
        let first = first.max(chunk.first());
        self.reader.advance_to(chunk.end());
        self.opening = Some((chunk, first));
    }

    /// The keys of the chunk's events are known, unless they have none. Back comes a chunk that
    /// others still hold: its events have to be cloned.
    pub(crate) fn open(
        &mut self,
        written: u64,
        keys: Vec<Result<u64, SinkError>>,
        cloned: Option<Vec<E>>,
    ) -> Result<(), Shared<E>> {
        let Some((chunk, first)) = self.opening.take() else { return Ok(()) };
        let skip = (first - chunk.first()) as usize;
        let events = match (cloned, Arc::try_unwrap(chunk)) {
            (Some(events), _) => events,
            (None, Ok(chunk)) => chunk.into_events(),
            (None, Err(chunk)) => {
                self.opening = Some((Arc::clone(&chunk), first));
                return Err((chunk, keys));
            }
        };
        let mut opened = Opened { events: events.into(), keys: keys.into(), first, written };
        if skip > 0 {
            opened.events.drain(..skip);
            opened.keys.drain(..skip.min(opened.keys.len()));
        }
        self.opened = Some(opened).filter(|opened| !opened.events.is_empty());
        Ok(())
    }

    /// Up to `most` events for `deliverer`, in an empty batch of its own: those that are due, else the
    /// next of the opened chunk.
    pub(crate) fn take(
        &mut self,
        deliverer: usize,
        now: impl Fn() -> u64,
        most: usize,
        verdict: Verdict,
        spare: &mut Option<Arc<Batch<E>>>,
    ) -> Option<Arc<Batch<E>>> {
        let empty = spare.get_or_insert_with(|| Arc::new(Batch::new()));
        // Nobody else has it: a deliverer's spare is one that is settled.
        let batch = Arc::get_mut(empty)?;
        batch.verdict = verdict;
        self.batches += 1;
        while batch.len() < most
            && let Some((event, meta)) = self.held.take_due(&now, self.batches)
        {
            batch.push(event, meta);
        }
        if batch.is_empty() {
            self.take_opened(most, batch);
        }
        if batch.is_empty() {
            return None;
        }
        self.in_flight += batch.len();
        self.attempts += if batch.refused.is_some() { 0 } else { batch.len() as u64 };
        let batch = spare.take();
        self.delivering[deliverer].clone_from(&batch);
        batch
    }

    fn take_opened(&mut self, most: usize, batch: &mut Batch<E>) {
        let Some(opened) = &mut self.opened else { return };
        while batch.len() < most {
            let key = opened.keys.front();
            if let Some(Err(_)) = key
                && !batch.is_empty()
            {
                break;
            }
            let refused = key.and_then(|key| key.as_ref().err().cloned());
            let is_free = match key {
                Some(Ok(key)) => {
                    let is_free = self.held.claim(*key, self.batches);
                    if !is_free && !batch.is_empty() {
                        break;
                    }
                    is_free
                }
                _ => true,
            };
            let Some((event, meta)) = opened.pop() else { break };
            if is_free {
                batch.push(event, meta);
            } else {
                self.held.hold_behind_key(event, meta);
            }
            if refused.is_some() {
                batch.refused = refused;
                break;
            }
        }
        if opened.events.is_empty() {
            self.opened = None;
        }
    }

    /// What `deliverer` had is delivered, and still the caller's to drop; how many events those were.
    pub(crate) fn delivered(&mut self, deliverer: usize) -> usize {
        if self.given_up {
            return 0;
        }
        let Some(batch) = self.delivering[deliverer].take() else { return 0 };
        self.in_flight -= batch.len();
        self.reader.feed().settle_bytes(batch.metas.iter().map(|meta| meta.number));
        if self.held.is_ordered() {
            batch.metas.iter().for_each(|meta| self.held.release(meta.key));
        }
        batch.len()
    }

    /// What became of each event that `deliverer` had.
    pub(crate) fn answer(
        &mut self,
        deliverer: usize,
        batch: Arc<Batch<E>>,
        outcomes: Vec<Outcome>,
        now: u64,
    ) -> Option<Answered<E>> {
        if self.given_up {
            return None;
        }
        drop(self.delivering[deliverer].take()?);
        // Nobody else has it: a closer that looks at what is being delivered gives it up.
        let Ok(batch) = Arc::try_unwrap(batch) else { return None };
        self.in_flight -= batch.len();
        let keys = batch.metas.clone();
        let (failed, unneeded) = (Vec::new(), Vec::new());
        let mut answered = Answered { delivered: 0, failed, unneeded, has_parked: false };
        let events = batch.events.into_iter().zip(batch.metas).zip(outcomes);
        let mut settled = Vec::new();
        // From the last to the first, as `park` wants them.
        for ((event, mut meta), outcome) in events.collect::<Vec<_>>().into_iter().rev() {
            match outcome {
                Outcome::Delivered => {
                    settled.push(meta.number);
                    answered.delivered += 1;
                    answered.unneeded.push(event);
                }
                Outcome::Retry { after, counts } => {
                    if counts {
                        meta.attempts += 1;
                        meta.first_failure =
                            if meta.attempts == 1 { now } else { meta.first_failure };
                    }
                    let due = now.saturating_add(nanoseconds(after));
                    self.held.park(event, meta, due);
                    answered.has_parked = true;
                }
                Outcome::Failed(error) => {
                    settled.push(meta.number);
                    if batch.refused.is_none() {
                        meta.attempts += 1;
                        meta.first_failure =
                            if meta.attempts == 1 { now } else { meta.first_failure };
                    }
                    answered.failed.push((undelivered(event, meta, now), error));
                }
            }
        }
        self.reader.feed().settle_bytes(settled.into_iter());
        answered.failed.reverse();
        if batch.refused.is_none() && self.held.is_ordered() {
            keys.iter().for_each(|meta| self.held.release(meta.key));
        }
        Some(answered)
    }

    /// Drops the events that wait and lie before `floor`, and the oldest, so that at most `bound` wait, of
    /// all that were written before `head` and of which `settled` are settled. How many of them count as skipped: those too that
    /// the log has let go of.
    pub(crate) fn drop_excess(
        &mut self,
        head: u64,
        settled: u64,
        bound: u64,
        floor: u64,
        dropped: &mut Vec<E>,
    ) -> u64 {
        let mut skipped = std::mem::take(&mut self.lost);
        let waiting = (head - settled).saturating_sub(self.in_flight as u64 + skipped);
        let mut excess = waiting.saturating_sub(bound);
        while excess > 0
            && let Some((event, _)) =
                self.held.drop_oldest().or_else(|| self.opened.as_mut().and_then(Opened::pop))
        {
            dropped.push(event);
            excess -= 1;
            skipped += 1;
        }
        while let Some(event) = self.pop_before(floor) {
            dropped.push(event);
            skipped += 1;
        }
        if self.opened.as_ref().is_some_and(|opened| opened.events.is_empty()) {
            self.opened = None;
        }
        // What somebody is opening is older than what is in the log.
        let beyond = if self.held.is_empty() { excess } else { 0 };
        let beyond = beyond.max(floor.saturating_sub(self.reader.at()));
        if self.opened.is_none() && self.opening.is_none() && beyond > 0 {
            let end = head.min(self.reader.at() + beyond);
            skipped += end - self.reader.at();
            self.reader.advance_to(end);
        }
        skipped
    }

    /// The oldest event that waits, if it lies before `floor`.
    fn pop_before(&mut self, floor: u64) -> Option<E> {
        let is_before = |number: u64| number < floor;
        if self.held.oldest().is_some_and(|(number, _)| is_before(number)) {
            return self.held.drop_oldest().map(|(event, _)| event);
        }
        let opened = self.opened.as_mut().filter(|opened| is_before(opened.first))?;
        opened.pop().map(|(event, _)| event)
    }

    /// Takes out all that is left, and ignores what comes.
    pub(crate) fn give_up(&mut self, now: u64) -> Rest<E> {
        self.given_up = true;
        let delivering = self.delivering.iter_mut().filter_map(Option::take).collect();
        let mut events = Vec::with_capacity(self.held.len());
        while let Some((event, meta)) = self.held.drop_oldest() {
            events.push(undelivered(event, meta, now));
        }
        if let Some(mut opened) = self.opened.take() {
            while let Some((event, meta)) = opened.pop() {
                events.push(undelivered(event, meta, now));
            }
        }
        let at = self.reader.at();
        let log = self.reader.feed().from(at).into_iter().map(|chunk| (chunk, at));
        let chunks = self.opening.take().into_iter().chain(log).collect();
        self.in_flight = 0;
        Rest { events, delivering, chunks, dropped: Vec::new() }
    }
}

fn undelivered<E>(event: E, meta: Meta, now: u64) -> Undelivered<E> {
    let first_failure =
        (meta.attempts > 0).then(|| Duration::from_nanos(now.saturating_sub(meta.first_failure)));
    Undelivered { event, attempts: meta.attempts, first_failure }
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
