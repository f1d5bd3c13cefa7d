//! The thread that has the file: it commits, loads and ends.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use events_core::{ErrorKind, Overflow, SinkError, engine::Account};
use rusqlite::{Connection, ErrorCode};

use crate::{
    desk::{Command, Committed, Desk, Work},
    row::Row,
    store::{self, Store},
    stored::now,
};

/// How long a commit waits for those whom the last one has woken, at most: a part of what a commit
/// takes, so that a writer who stays away costs the others little.
const GATHER: Duration = Duration::from_millis(1);

/// A file up to this size is not worth shrinking.
const SPARE: u64 = 16 << 20;
/// A file is shrunk when less than this part of it is in use.
const SPARE_SHARE: u64 = 8;

/// Commits what came while the last commit ran, in one transaction: events, deliveries, dead
/// letters. In between it loads what is to be delivered next.
///
/// Group commit has a trap: the first of the writers whom a commit wakes would have the next
/// commit to itself, and all others wait for it. So the committer waits a moment until as many
/// have come as the last time; a writer that is alone never waits.
#[derive(Debug)]
pub(crate) struct Committer {
    store: Option<Store>,
    path: PathBuf,
    desk: Arc<Desk>,
    account: Arc<Account<Row>>,
}

impl Committer {
    pub(crate) const fn new(
        store: Store,
        path: PathBuf,
        desk: Arc<Desk>,
        account: Arc<Account<Row>>,
    ) -> Self {
        Self { store: Some(store), path, desk, account }
    }

    pub(crate) fn run(mut self) {
        let (mut group, mut until) = (1, Instant::now());
        while let Some(mut store) = self.store.take() {
            let work = self.desk.next_work(group, until);
            let (load, close_feed, end) = (work.load, work.close_feed, work.end.clone());
            let start = Instant::now();
            let writes = work.writes.len();
            self.commit(&mut store, work);
            if writes > 0 {
                group = writes;
                let end = Instant::now();
                until = end + (end - start).min(GATHER);
            }
            if let Some((events, bytes)) = load {
                self.load(&store, events, bytes);
            }
            if writes == 0 && !close_feed {
                self.give_back(&store);
            }
            if close_feed {
                self.account.begin_close();
            }
            match end {
                Some(result) => {
                    // Closes the file and lets go of the lock, before anybody hears of the end.
                    drop(store);
                    let outcome = self.outcome(result);
                    self.desk.finish(&outcome);
                }
                None => self.store = Some(store),
            }
        }
    }

    fn commit(&self, store: &mut Store, mut work: Work) {
        let commands = std::mem::take(&mut work.commands);
        if !work.writes.is_empty() || !work.done.is_empty() {
            match self.transact(store, &mut work) {
                Ok(change) => {
                    store.next_seq = change.first + work.writes.len() as u64;
                    self.feed(self.desk.committed(&work, change, store.file));
                }
                Err(error) => {
                    let failed = self.failed("commit", error);
                    self.desk.not_committed(&mut work, &failed);
                }
            }
        } else {
            self.desk.nothing_to_commit(work.settled);
        }
        for command in commands {
            let (slot, result) = match &command {
                Command::Replay(which, slot) => {
                    let result = store.replay(which);
                    if let Ok(count) = result {
                        self.desk.replayed(count);
                    }
                    (slot, result)
                }
                Command::Purge(which, slot) => (slot, store.purge(which)),
            };
            slot.tell(result.map_err(|error| self.failed("change of the dead letters", error)));
        }
    }

    /// Writes, deletes and buries, all or nothing.
    fn transact(&self, store: &mut Store, work: &mut Work) -> rusqlite::Result<Committed> {
        let written = now();
        let first = store.next_seq;
        let transaction = store.connection.transaction()?;
        // First what goes, so that its pages are free for what comes: each page that is touched is
        // a write to the log.
        for seqs in &work.done.gone {
            store::delete(&transaction, seqs)?;
        }
        for (seq, error) in &work.done.dead {
            store::bury(&transaction, *seq, error)?;
        }
        let texts = work.writes.iter().map(|write| &*write.text);
        store::insert(&transaction, first, written, texts)?;
        let mut change = Committed { first, written, next_load: 0, dropped: 0, used: 0 };
        if self.desk.policy.overflow == Overflow::DropOldest {
            self.make_room(&transaction, work, &mut change)?;
        }
        if !work.done.is_empty() && store::nth_after(&transaction, 0, 0)?.is_none() {
            store::remember_last(&transaction, first + work.writes.len() as u64 - 1)?;
        }
        if self.desk.policy.max_size < u64::MAX {
            change.used = store::size(&transaction)?.0;
        }
        transaction.commit()?;
        Ok(change)
    }

    /// Drops the oldest events that wait, until the rest is within the bounds.
    fn make_room(
        &self,
        connection: &Connection,
        work: &mut Work,
        change: &mut Committed,
    ) -> rusqlite::Result<()> {
        let policy = self.desk.policy;
        let end = change.first + work.writes.len() as u64;
        loop {
            let (pending, next_load) = {
                let ledger = &self.desk.lock().ledger;
                (ledger.pending, ledger.next_load.max(change.next_load))
            };
            let pending = (pending + work.writes.len() as u64).saturating_sub(change.dropped);
            let mut over = pending.saturating_sub(policy.capacity);
            let used = store::size(connection)?.0;
            if over == 0 && used > policy.max_size {
                let share = u128::from(used - policy.max_size) * u128::from(pending);
                over = ((share / u128::from(used)) as u64).max(1).min(pending);
            }
            if over == 0 {
                return Ok(());
            }
            let dropped = self.desk.lock().ledger.drop_waiting(over);
            for seqs in &dropped.gone {
                store::delete(connection, seqs)?;
            }
            let in_window = dropped.count();
            work.done.extend(dropped);
            let mut on_disk = 0;
            if in_window < over {
                let next = store::nth_after(connection, next_load, over - in_window)?;
                let next = next.unwrap_or(end).max(next_load);
                on_disk = store::delete(connection, &(next_load..next))?;
                change.next_load = next;
                change.dropped += on_disk;
            }
            tracing::warn!(
                queue = self.account.name(),
                count = in_window + on_disk,
                "dropped the oldest events: the queue is full"
            );
            if in_window + on_disk == 0 {
                return Ok(());
            }
        }
    }

    /// Loads the next events into the feed.
    fn load(&self, store: &Store, events: u64, bytes: u64) {
        let from = self.desk.lock().ledger.next_load;
        match store.page(from, events, bytes) {
            Ok(rows) => {
                let mut state = self.desk.lock();
                for row in &rows {
                    state.ledger.load(row);
                }
                if rows.is_empty() {
                    state.ledger.next_load = state.ledger.next_seq;
                }
                drop(state);
                self.feed(rows);
            }
            Err(error) => {
                // What cannot be read now can be read by the next run, if at all.
                let error = self.failed("read", error);
                self.desk.give_up(error);
            }
        }
    }

    /// Makes the file small again after a large backlog was drained. What is left is copied, so it
    /// must be little; otherwise the room is used again.
    fn give_back(&self, store: &Store) {
        if !self.desk.lock().ledger.is_drained() {
            return;
        }
        let shrunk = store::size(&store.connection).and_then(|(used, all)| {
            let worthwhile = all > SPARE && used < all / SPARE_SHARE;
            if worthwhile { store::shrink(&store.connection) } else { Ok(()) }
        });
        if let Err(error) = shrunk {
            // The room is still there to be used again.
            tracing::warn!(queue = self.account.name(), %error, "the file could not be shrunk");
        }
    }

    /// Gives loaded events to the worker.
    fn feed(&self, rows: Vec<Row>) {
        let feed = self.account.feed();
        for row in rows {
            // A feed that is closed already keeps the event where it is: on the disk.
            let _ = feed.push(row);
        }
        if self.desk.hurries() {
            feed.hurry();
        }
    }

    /// What to tell of something that failed; a damaged file ends the queue.
    fn failed(&self, what: &str, error: rusqlite::Error) -> SinkError {
        tracing::error!(queue = self.account.name(), %error, "a {what} failed");
        let code = error.sqlite_error_code();
        let kind = match code {
            Some(ErrorCode::DiskFull) => ErrorKind::Full,
            _ => ErrorKind::Unavailable,
        };
        let error = SinkError::new(kind, error);
        if matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) {
            self.desk.give_up(SinkError::new(ErrorKind::Closed, error.clone()));
        }
        error
    }

    /// What to tell those who close.
    fn outcome(&self, ended: Result<(), SinkError>) -> Result<(), SinkError> {
        let (kept, why) = self.desk.kept();
        let mut errors = Vec::new();
        if kept > 0 {
            let source = format!("they are kept in {} for the next run", self.path.display());
            errors.push(SinkError::undelivered_events(kept).with_source(source));
        }
        errors.extend(why);
        if let Err(error) = ended {
            // What the worker gave up is among what is kept.
            let given_up = self.account.undelivered() > 0;
            match error.errors() {
                [] if given_up => {}
                [_, rest @ ..] if given_up => errors.extend_from_slice(rest),
                _ => errors.push(error),
            }
        }
        SinkError::combine(errors).map_or(Ok(()), Err)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.store.take());
        // In whatever way the thread ends, nobody waits for it any more.
        if std::thread::panicking() {
            self.desk.abort();
            self.account.abort();
            self.desk.finish(&Err(SinkError::new(ErrorKind::Closed, "the committer has died")));
        }
    }
}
