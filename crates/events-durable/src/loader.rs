//! The thread that brings events into memory: from the tip of the log for consumers that keep up,
//! from the disk for all others.

use std::{
    panic::catch_unwind,
    sync::Arc,
    time::{Duration, Instant},
};

use events_core::{
    ErrorKind, Event, SinkError,
    engine::{dispose, tell},
};
use rusqlite::Connection;
use serde::de::DeserializeOwned;

use crate::{
    commit_queue::become_disk_thread,
    consumer_rows::{self, Take},
    consumer_state::{ConsumerState, InOrder, Plan},
    encoding::{decode, describe_decoding},
    load_queue::Load,
    log_state::LogState,
    store::{RawEvent, page},
    stored::{Stored, now},
};

/// How many events are read from the disk at a time, so that other consumers have their turn.
const PAGE: usize = 512;

/// Loads what consumers lack, with a connection of its own: neither the writers nor the committer
/// wait for it.
pub(crate) struct Loader<E> {
    pub(crate) log: Arc<LogState<E>>,
    pub(crate) connection: Connection,
}

/// What is left to do for a consumer.
enum Progress {
    /// There may be more at once.
    More,
    Enough,
}

impl<E: Event + DeserializeOwned> Loader<E> {
    pub(crate) fn run(self) {
        become_disk_thread();
        let mut alarm = None;
        loop {
            let consumers = match self.log.loads.next(alarm) {
                Load::Stop => return,
                Load::Some(consumers) => consumers,
                Load::All => self.log.commits.lock().consumers().to_vec(),
            };
            for consumer in &consumers {
                self.serve(consumer);
            }
            alarm = self.look_around();
        }
    }

    /// Lets go of what no consumer needs from memory; when the next event is due.
    fn look_around(&self) -> Option<Instant> {
        let (consumers, head) = {
            let state = self.log.commits.lock();
            (state.consumers().to_vec(), state.head())
        };
        let now = now();
        let (mut needed, mut alarm) = (head, None::<Instant>);
        for consumer in consumers {
            let locked = consumer.lock();
            needed = needed.min(locked.next_load());
            alarm = alarm.into_iter().chain(locked.alarm(now)).min();
        }
        self.log.tip.release(needed);
        // A consumer without room has its events loaded when there is some.
        alarm.map(|alarm| alarm.max(Instant::now() + Duration::from_millis(1)))
    }

    /// Loads what `consumer` lacks, or tells it that nothing more will come.
    fn serve(&self, consumer: &Arc<ConsumerState<E>>) {
        // The one who starts it says when it is there.
        let Some(account) = consumer.account() else { return };
        let plan = consumer.lock().plan(now());
        if plan.is_over {
            account.begin_close();
            return;
        }
        let served = self.load(consumer, &plan);
        if consumer.lock().hurries() {
            account.feed().hurry();
        }
        match served {
            Ok(Progress::Enough) => {}
            Ok(Progress::More) => self.log.loads.add(consumer),
            Err(error) => {
                let (name, path) = (&*consumer.name, &self.log.path);
                tell(
                    || tracing::error!(consumer = name, path = %path.display(), %error, "a read failed"),
                );
                // What cannot be read now can be read by the next run, if at all.
                self.log.give_up(SinkError::new(ErrorKind::Unavailable, error));
            }
        }
    }

    fn load(&self, consumer: &Arc<ConsumerState<E>>, plan: &Plan) -> rusqlite::Result<Progress> {
        let mut progress = Progress::Enough;
        for key in &plan.keys {
            self.load_key(consumer, *key, plan.saves)?;
        }
        if let Some(most) = plan.due
            && let Progress::More = self.load_due(consumer, most, plan.saves)?
        {
            progress = Progress::More;
        }
        if let Some(part) = plan.in_order
            && let Progress::More = self.load_in_order(consumer, part)?
        {
            progress = Progress::More;
        }
        Ok(progress)
    }

    /// The first of those that wait behind an event of `key` that is settled.
    fn load_key(
        &self,
        consumer: &Arc<ConsumerState<E>>,
        key: u64,
        saves: u64,
    ) -> rusqlite::Result<()> {
        let mut found = None;
        consumer_rows::of_key(&self.connection, consumer.number, key, |raw| {
            let locked = consumer.lock();
            if !locked.may_load_row(raw.seq, saves) {
                return Take::More;
            }
            if locked.is_next_of(key, raw.seq) {
                found = Some(raw);
            }
            Take::Enough
        })?;
        // If it is not on the disk yet, the next commit brings it.
        if let Some(raw) = found {
            self.load_row(consumer, raw, saves, Some(key));
        }
        Ok(())
    }

    fn load_due(
        &self,
        consumer: &Arc<ConsumerState<E>>,
        most: usize,
        saves: u64,
    ) -> rusqlite::Result<Progress> {
        let mut found = Vec::new();
        let next = consumer_rows::due(&self.connection, consumer.number, now(), |raw| {
            if found.len() == most {
                return Take::Enough;
            }
            if consumer.lock().may_load_row(raw.seq, saves) {
                found.push(raw);
            }
            Take::More
        })?;
        for raw in found {
            self.load_row(consumer, raw, saves, None);
        }
        let mut locked = consumer.lock();
        locked.set_next_due(next, saves);
        // Otherwise the disk has changed while it was read.
        Ok(if locked.is_current(saves) { Progress::Enough } else { Progress::More })
    }

    /// Loads an event that was read, unless that is out of date. It is the next of a key, if it is
    /// `next_of` one.
    fn load_row(
        &self,
        consumer: &Arc<ConsumerState<E>>,
        raw: RawEvent,
        saves: u64,
        next_of: Option<u64>,
    ) {
        let RawEvent { seq, written, attempts, key, text } = raw;
        let event = decoded::<E>(&text);
        let mut locked = consumer.lock();
        if !locked.may_load_row(seq, saves) {
            return;
        }
        locked.load_row(seq, text.len() as u32, written);
        // Before it can be delivered, and ask for the one after it.
        if let Some(key) = next_of {
            locked.advance(key, seq);
        }
        drop(locked);
        match event {
            Ok(event) => {
                let id = self.log.openings.id(seq);
                let stored = Stored::new(seq, id, written, Arc::new(event)).with_attempts(attempts);
                feed(consumer, [stored]);
            }
            Err(error) => self.bury(consumer, seq, attempts, key, error),
        }
    }

    fn load_in_order(
        &self,
        consumer: &Arc<ConsumerState<E>>,
        part: InOrder,
    ) -> rusqlite::Result<Progress> {
        let InOrder { from, end, most, bytes } = part;
        let most = most.min((end - from) as usize);
        let fresh = self.log.tip.from(from, most, bytes);
        if !fresh.is_empty() {
            let mut stored = Vec::with_capacity(fresh.len());
            let mut locked = consumer.lock();
            for (seq, fresh) in (from..).zip(fresh) {
                if locked.load_in_order(seq, fresh.bytes, fresh.written) {
                    let id = self.log.openings.id(seq);
                    stored.push(Stored::new(seq, id, fresh.written, fresh.event));
                }
            }
            drop(locked);
            feed(consumer, stored);
            return Ok(Progress::More);
        }
        let rows = page(&self.connection, from, end, most.min(PAGE), bytes)?;
        if rows.is_empty() {
            // What was written since is at the tip, or on the disk the next time.
            consumer.lock().skip_to(end);
            return Ok(Progress::More);
        }
        for RawEvent { seq, written, text, .. } in rows {
            let event = decoded::<E>(&text);
            if !consumer.lock().load_in_order(seq, text.len() as u32, written) {
                continue;
            }
            match event {
                Ok(event) => {
                    let id = self.log.openings.id(seq);
                    feed(consumer, [Stored::new(seq, id, written, Arc::new(event))]);
                }
                Err(error) => self.bury(consumer, seq, 0, None, error),
            }
        }
        Ok(Progress::More)
    }

    /// An event that does not decode is a dead letter.
    fn bury(
        &self,
        consumer: &Arc<ConsumerState<E>>,
        seq: u64,
        attempts: u32,
        key: Option<u64>,
        error: String,
    ) {
        let name = &*consumer.name;
        self.log.undecoded.tell(1, |count| {
            let what = "events became dead letters that do not decode";
            tracing::warn!(consumer = name, seq, error, count, "{what}");
        });
        let noted = consumer.note(|locked| locked.bury_unread(seq, attempts, key, error));
        if let Some(aftermath) = noted {
            self.log.follow_up(consumer, aftermath);
        }
    }
}

/// The event in a text, or why it is none: without a word of its content. How it is decoded is the
/// event's own matter, and may panic.
fn decoded<E: DeserializeOwned>(text: &[u8]) -> Result<E, String> {
    let decoded = catch_unwind(|| decode::<E>(text).map_err(|error| describe_decoding(&error)));
    decoded.unwrap_or_else(|panic| {
        dispose(panic);
        Err("the event does not decode: its decoding panicked".to_owned())
    })
}

impl<E> Drop for Loader<E> {
    fn drop(&mut self) {
        // In whatever way the thread ends, nobody waits for it any more.
        if std::thread::panicking() {
            self.log.give_up(SinkError::new(ErrorKind::Closed, "the loader has died"));
        }
    }
}

/// Gives loaded events to the delivery.
fn feed<E: Event>(consumer: &ConsumerState<E>, events: impl IntoIterator<Item = Stored<E>>) {
    let Some(account) = consumer.account() else { return };
    for event in events {
        // A feed that is closed already keeps the event where it is: on the disk.
        let _ = account.feed().push(event);
    }
}
