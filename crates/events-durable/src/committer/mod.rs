//! The thread that has the file: it commits, and ends the log.

mod limits;

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use events_core::{
    ErrorKind, Event, SinkError,
    engine::{dispose, tell},
};
use rusqlite::{ErrorCode, TransactionBehavior};

use crate::{
    commit_queue::{Work, Write, become_disk_thread, count},
    consumer_rows,
    consumer_state::{ConsumerState, Snapshot},
    log_state::LogState,
    schema::Owner,
    store::{self, Store},
    stored::now,
    tip::Fresh,
};

/// How long a commit waits for those whom the last one has woken, at most: a part of what a commit
/// takes, so that a writer who stays away costs the others little.
const GATHER: Duration = Duration::from_millis(1);

/// How often to look for what others have written to the file, where they may.
const POLL: Duration = Duration::from_millis(100);
/// The same while they are about to.
const POLL_SOON: Duration = Duration::from_millis(1);
/// How often to look whether the file is still there.
const CHECK: Duration = Duration::from_secs(1);

/// A file up to this size is not worth shrinking.
const SPARE: u64 = 16 << 20;
/// A file is shrunk when less than this part of it is in use.
const SPARE_SHARE: u64 = 8;

/// Commits what came while the last commit ran, in one transaction: events, and what became of
/// others.
///
/// Group commit has a trap: the first of the writers whom a commit wakes would have the next
/// commit to itself, and all others wait for it. So the committer waits a moment until as many
/// have come as the last time; a writer that is alone never waits.
pub(crate) struct Committer<E: Event> {
    pub(crate) store: Option<Store>,
    pub(crate) log: Arc<LogState<E>>,
    pub(crate) loader: Option<JoinHandle<()>>,
    /// When it last looked whether the file is still there.
    pub(crate) checked: Instant,
    /// Which version of the file was looked at last, where others may write to it.
    pub(crate) version: Option<i64>,
    /// When events were written last.
    pub(crate) written: Option<Instant>,
    /// Whether there are events that nobody needs, left over from the last commit.
    pub(crate) has_leftovers: bool,
}

/// Consumers, and what they have the disk know.
type Saving<E> = Vec<(Arc<ConsumerState<E>>, Snapshot)>;

/// What a transaction has changed.
#[derive(Debug, Clone, Copy)]
struct Change {
    /// The place of the first event that was written.
    first: u64,
    /// All before is deleted, but for events that have rows.
    trimmed: u64,
    /// Whether there are more to be deleted.
    has_leftovers: bool,
    /// How many bytes of the file are in use.
    used: u64,
    /// When events were written, in milliseconds since the epoch.
    written: u64,
}

impl<E: Event> Committer<E> {
    pub(crate) fn run(mut self) {
        become_disk_thread();
        let (mut group, mut until) = (1, Instant::now());
        while let Some(mut store) = self.store.take() {
            let poll = self.poll(&store);
            let mut work = self.log.commits.next_work(group, until, self.has_leftovers, poll);
            self.look_outside(&mut store);
            let (writes, start) = (work.writes.len(), Instant::now());
            let commands = std::mem::take(&mut work.commands);
            let is_end = work.is_end;
            self.commit(&mut store, work);
            for command in commands {
                command.run(Ok(&mut store));
            }
            if writes > 0 {
                group = writes;
                let end = Instant::now();
                until = end + (end - start).min(GATHER);
            } else {
                self.give_back(&store);
            }
            self.check_file(&store);
            if is_end {
                self.end(store);
            } else {
                self.store = Some(store);
            }
        }
    }

    /// When to look for what others have written, if they may.
    fn poll(&self, store: &Store) -> Option<Instant> {
        let is_soon = self.log.commits.lock().expects_others();
        let after = if is_soon { POLL_SOON } else { POLL };
        (store.owner == Owner::Program).then(|| Instant::now() + after)
    }

    /// Takes up what others have written to the file.
    fn look_outside(&mut self, store: &mut Store) {
        if store.owner == Owner::Log {
            return;
        }
        let found = store.version().and_then(|version| {
            let is_new = self.version.replace(version) != Some(version);
            if is_new { store::next_seq(&store.connection) } else { Ok(store.next_seq) }
        });
        match found {
            Ok(next) => {
                self.take_up(store.next_seq, next);
                store.next_seq = next;
            }
            Err(error) => drop(self.failed("look at the file", error)),
        }
    }

    /// Others have written events from `from` up to `next`.
    fn take_up(&self, from: u64, next: u64) {
        if next > from {
            self.log.commits.written_by_others(next - from, next);
            self.log.loads.grow();
        }
    }

    fn commit(&mut self, store: &mut Store, work: Work<E>) {
        let Work { writes, mut changed, is_end, .. } = work;
        if writes.is_empty() && changed.is_empty() && !self.has_leftovers {
            return;
        }
        if !writes.is_empty() {
            self.written = Some(Instant::now());
        }
        let sweep = if is_end { u64::MAX } else { self.sweep(&writes) };
        self.drop_oldest(store, &writes, &mut changed);
        let cut = self.overtake(store, &mut changed);
        let begin = |consumer: Arc<ConsumerState<E>>| {
            let snapshot = consumer.lock().begin_saving();
            (consumer, snapshot)
        };
        let saving: Saving<E> = changed.into_iter().map(begin).collect();
        match self.transact(store, &writes, &saving, cut, sweep) {
            Ok(change) => {
                self.has_leftovers = change.has_leftovers;
                self.committed(store, writes, saving, change);
            }
            Err(error) => {
                self.has_leftovers = false;
                let error = self.failed("commit", error);
                let mut changed = Vec::new();
                for (consumer, snapshot) in saving {
                    if let Some(result) = snapshot.ended {
                        // What the disk does not know is delivered again by the next run.
                        self.detach(&consumer, result);
                    } else if consumer.lock().not_saved() {
                        changed.push(consumer);
                    }
                }
                self.log.commits.not_committed(&writes, changed, &error);
                writes.into_iter().flat_map(|write| write.events).for_each(dispose);
            }
        }
    }

    /// Writes, saves what consumers have settled, and deletes what nobody needs: all or nothing.
    fn transact(
        &self,
        store: &mut Store,
        writes: &[Write<E>],
        saving: &Saving<E>,
        cut: Option<u64>,
        sweep: u64,
    ) -> rusqlite::Result<Change> {
        let before = store.trimmed;
        // The right to write comes first: nobody else adds an event meanwhile.
        let immediate = TransactionBehavior::Immediate;
        let transaction = store.connection.transaction_with_behavior(immediate)?;
        let first = match store.owner {
            Owner::Log => store.next_seq,
            Owner::Program => store::next_seq(&transaction)?,
        };
        self.take_up(store.next_seq, first);
        let head = first + count(writes);
        for (consumer, saved) in saving.iter().filter(|(_, saved)| !saved.changes.is_empty()) {
            let Snapshot { position, disabled, changes, .. } = saved;
            consumer_rows::save(&transaction, consumer.number, *position, *disabled, changes)?;
        }
        // First what goes, so that its pages are free for what comes: each page that is touched is
        // a write to the log.
        let needless = self.needless(&transaction, before, head, cut)?;
        let trimmed = needless.min(before.saturating_add(sweep));
        store::delete(&transaction, &(before..trimmed.min(first)))?;
        for seq in saving.iter().flat_map(|(_, saved)| &saved.changes.settled_rows) {
            if *seq < trimmed {
                store::delete(&transaction, &(*seq..*seq + 1))?;
            }
        }
        if !writes.is_empty() && !store.is_opening_saved {
            let oldest = store::oldest(&transaction)?.unwrap_or(first);
            store.openings.save(&transaction, oldest)?;
        }
        let written = now();
        let texts = writes.iter().flat_map(|write| &write.events).map(|(text, _)| &**text);
        store::insert(&transaction, first, written, texts)?;
        store::delete(&transaction, &(first..trimmed))?;
        if trimmed != before {
            store::set_trimmed(&transaction, trimmed)?;
            store::remember_last(&transaction, head - 1)?;
        }
        let is_bounded =
            self.log.commits.bounds.max_size < u64::MAX || self.log.retention.size.is_some();
        let used = if is_bounded { store::size(&transaction)?.0 } else { 0 };
        transaction.commit()?;
        Ok(Change { first, trimmed, has_leftovers: trimmed < needless, used, written })
    }

    fn committed(
        &self,
        store: &mut Store,
        writes: Vec<Write<E>>,
        saving: Saving<E>,
        change: Change,
    ) {
        let first = change.first;
        store.next_seq = first + count(&writes);
        store.trimmed = change.trimmed;
        store.is_opening_saved |= !writes.is_empty();
        self.log.commits.committed(&writes, first, change.used);
        if !writes.is_empty() {
            let fresh = |(text, event): (String, Arc<E>)| Fresh {
                written: change.written,
                bytes: text.len() as u32,
                event,
            };
            let events = writes.into_iter().flat_map(|write| write.events).map(fresh).collect();
            self.log.tip.push(first, events);
            self.log.loads.grow();
        }
        for (consumer, snapshot) in saving {
            self.saved(store, &consumer, snapshot);
        }
    }

    /// What `consumer` had changed is on the disk.
    fn saved(&self, store: &Store, consumer: &Arc<ConsumerState<E>>, snapshot: Snapshot) {
        let first_row = if snapshot.has_set_aside {
            // What cannot be read is asked for again with the next change.
            consumer_rows::first_set_aside(&store.connection, consumer.number).unwrap_or(0)
        } else {
            u64::MAX
        };
        let mut locked = consumer.lock();
        let aftermath = locked.saved();
        let flushed = locked.take_flushed(snapshot.settled, first_row);
        drop(locked);
        for promise in flushed {
            promise.fulfil(Ok(0));
        }
        self.log.follow_up(consumer, aftermath);
        if let Some(result) = snapshot.ended {
            self.detach(consumer, result);
        }
    }

    /// A consumer has ended, and the disk knows all of it.
    fn detach(&self, consumer: &Arc<ConsumerState<E>>, result: Result<(), SinkError>) {
        let outcome = self.outcome_of(consumer, result);
        self.log.commits.detach(consumer, outcome.clone());
        let account = consumer.account.lock().take();
        let flushes = consumer.lock().take_flushes();
        drop(account);
        let answer = outcome.map_or(Ok(0), Err);
        for promise in flushes {
            promise.fulfil(answer.clone());
        }
        consumer.finished.fulfil(answer);
        if consumer.ends_log {
            self.log.close();
        }
    }

    /// What to tell those who close a consumer.
    fn outcome_of(
        &self,
        consumer: &ConsumerState<E>,
        result: Result<(), SinkError>,
    ) -> Option<SinkError> {
        let kept = consumer.lock().kept();
        let mut errors = Vec::new();
        if kept > 0 {
            let path = self.log.path.display();
            let source = format!("they are kept in {path} for the next run");
            errors.push(SinkError::undelivered_events(kept).with_source(source));
        }
        if let Err(error) = result {
            // What the delivery gave up is among what is kept.
            let given_up = consumer.account().is_some_and(|account| account.undelivered() > 0);
            match error.errors() {
                [] if given_up => {}
                [_, rest @ ..] if given_up => errors.extend_from_slice(rest),
                _ => errors.push(error),
            }
        }
        SinkError::combine(errors)
    }

    /// Makes the file small again after a large backlog was drained. What is left is copied, so it
    /// must be little; otherwise the room is used again.
    fn give_back(&self, store: &Store) {
        if store.trimmed < store.next_seq || store.owner == Owner::Program {
            return;
        }
        let shrunk = store::size(&store.connection).and_then(|(used, all)| {
            let worthwhile = all > SPARE && used < all / SPARE_SHARE;
            if worthwhile { store::shrink(&store.connection) } else { Ok(()) }
        });
        if let Err(error) = shrunk {
            // The room is still there to be used again.
            let log = &*self.log.name;
            tell(|| tracing::warn!(log, %error, "the file could not be shrunk"));
        }
    }

    /// What to tell of something that failed; a damaged file ends the log.
    fn failed(&self, what: &str, error: rusqlite::Error) -> SinkError {
        let log = &*self.log.name;
        self.log.failures.tell(1, |count| tracing::error!(log, %error, count, "{what} failed"));
        let code = error.sqlite_error_code();
        let kind = match code {
            Some(ErrorCode::DiskFull) => ErrorKind::Full,
            _ => ErrorKind::Unavailable,
        };
        let error = SinkError::new(kind, error);
        if matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) {
            self.log.give_up(SinkError::new(ErrorKind::Closed, error.clone()));
        }
        error
    }

    /// Ends the log if its file is gone: what is written would go nowhere.
    fn check_file(&mut self, store: &Store) {
        let now = Instant::now();
        if now.saturating_duration_since(self.checked) < CHECK {
            return;
        }
        self.checked = now;
        if let Err(why) = store.check_file() {
            let (log, path) = (&*self.log.name, self.log.path.display());
            tell(|| tracing::error!(log, %path, why, "the log ends"));
            self.log.give_up(SinkError::new(ErrorKind::Closed, why));
        }
    }

    /// Closes the file and lets go of the lock, before anybody hears of the end.
    fn end(&mut self, store: Store) {
        self.stop_loader();
        drop(store);
        let outcome = self.log.commits.outcome();
        self.log.commits.finish(&outcome);
    }

    fn stop_loader(&mut self) {
        self.log.loads.stop();
        if let Some(loader) = self.loader.take() {
            let _panicked = loader.join();
        }
        self.log.tip.release(u64::MAX);
    }
}

impl<E: Event> Drop for Committer<E> {
    fn drop(&mut self) {
        // In whatever way the thread ends, nobody waits for it any more.
        if std::thread::panicking() {
            self.log.abort();
            self.stop_loader();
            drop(self.store.take());
            let why = "the committer has died";
            self.log.commits.finish(&Err(SinkError::new(ErrorKind::Closed, why)));
        }
    }
}
