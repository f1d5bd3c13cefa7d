use std::{
    collections::VecDeque,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rusqlite::{Connection, OptionalExtension};
use serde::de::DeserializeOwned;

use crate::{
    consumer_rows,
    dead_letters::{DeadLetters, Which},
    dead_rows,
    durability::Durability,
    encoding,
    event_id::EventId,
    history::History,
    lock,
    open_error::OpenError,
    openings::Openings,
    schema,
    store::{Store, count_from, page, size},
    stored::system_time,
};

/// How many events are read at a time.
const PAGE: usize = 100;

/// A look inside the file of a [`DurableLog`](crate::DurableLog) or a
/// [`DurableQueue`](crate::DurableQueue), whether or not one has it open.
///
/// ```
/// use events_core::{Discard, Sink};
/// use events_durable::{DurableQueue, Spool};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("events.db");
/// let queue = DurableQueue::<String>::spawn(Discard::new(), &path)?;
/// queue.write(&"started".to_owned())?;
/// queue.flush().wait()?;
/// let spool = Spool::open(&path)?;
/// let stats = spool.stats()?;
/// assert_eq!((stats.pending, stats.dead), (0, 0));
/// assert_eq!(spool.consumers()?[0].name, "queue");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Spool {
    connection: Connection,
    path: PathBuf,
    openings: Arc<Openings>,
}

/// What is in the file of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolStats {
    /// How many events are kept, for whatever reason.
    pub events: u64,
    /// Deliveries that are left to be made: events that wait or are parked, for each consumer.
    pub pending: u64,
    /// Dead letters, of all consumers.
    pub dead: u64,
    /// When the oldest event that waits for a delivery was written.
    pub oldest: Option<SystemTime>,
    /// How many bytes of the file are in use.
    pub used_bytes: u64,
    /// How many bytes the file has; what is not in use is used again. The write-ahead log beside
    /// it is not counted.
    pub file_bytes: u64,
}

/// Where a consumer stands, as its file knows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStats {
    /// Its name; that of a [`DurableQueue`](crate::DurableQueue) is `queue`.
    pub name: String,
    /// The event that is the next in order.
    pub position: u64,
    /// How many events lie there and behind: its lag.
    pub waiting: u64,
    /// How many are parked, or wait behind one of their key that is.
    pub parked: u64,
    /// When the next of them is due.
    pub next_due: Option<SystemTime>,
    /// Dead letters.
    pub dead: u64,
    /// Whether it is disabled.
    pub disabled: bool,
}

impl Spool {
    /// Opens the file to read.
    ///
    /// # Errors
    /// There is no such file, it holds something else, or it is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = std::path::absolute(&path).unwrap_or_else(|_| path.as_ref().to_owned());
        let connection = schema::open_to_read(&path)?;
        let openings =
            Openings::load(&connection).map_err(|error| OpenError::sqlite(&path, error))?;
        Ok(Self { connection, path, openings: Arc::new(openings) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much there is in the file.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn stats(&self) -> Result<SpoolStats, OpenError> {
        self.read(|connection| {
            let number = |sql: &str| -> rusqlite::Result<Option<u64>> {
                connection.query_row(sql, [], |row| row.get(0))
            };
            let consumers = consumers(connection)?;
            let pending = consumers.iter().map(|one| one.waiting + one.parked).sum();
            let oldest = "SELECT min(written) FROM (
                SELECT (SELECT written FROM durable_events WHERE seq >= position ORDER BY seq LIMIT 1)
                    AS written FROM durable_consumers
                UNION ALL SELECT min(e.written) FROM durable_deliveries AS d
                    JOIN durable_events AS e ON e.seq = d.seq WHERE d.state < 2)";
            let (used_bytes, file_bytes) = size(connection)?;
            let trimmed = number("SELECT trimmed FROM durable_log")?.unwrap_or(0);
            let before = "SELECT count(DISTINCT seq) FROM durable_deliveries
                WHERE seq < (SELECT trimmed FROM durable_log)";
            Ok(SpoolStats {
                events: count_from(connection, trimmed)? + number(before)?.unwrap_or(0),
                pending,
                dead: consumers.iter().map(|one| one.dead).sum(),
                oldest: number(oldest)?.map(system_time),
                used_bytes,
                file_bytes,
            })
        })
    }

    /// The consumers that the file knows, in the order of their creation.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn consumers(&self) -> Result<Vec<ConsumerStats>, OpenError> {
        self.read(consumers)
    }

    /// Reads figures of one moment, whatever a log does meanwhile.
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, OpenError> {
        let moment = self.connection.unchecked_transaction();
        moment
            .and_then(|_moment| read(&self.connection))
            .map_err(|error| OpenError::sqlite(&self.path, error))
    }

    /// The events that are kept, in the order of the log.
    pub fn events(self) -> Events {
        Events { spool: self, next: 0, page: VecDeque::new() }
    }

    /// The dead letters of all consumers, in the order they were written.
    pub fn dead_letters(self) -> DeadLetters {
        DeadLetters::new(self.connection, self.path, self.openings, None)
    }

    /// The dead letters of the consumer of this name, in the order they were written.
    pub fn dead_letters_of(self, consumer: &str) -> DeadLetters {
        let consumer = Some(consumer.to_owned());
        DeadLetters::new(self.connection, self.path, self.openings, consumer)
    }

    /// What became of the event with this id: `None` if it is no longer kept.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn history(&self, id: EventId) -> Result<Option<History>, OpenError> {
        let Some(seq) = self.openings.seq(id) else { return Ok(None) };
        self.read(|connection| History::load(connection, id, seq))
    }

    /// Puts dead letters of all consumers, or of the one of this name, back in a file that no log has
    /// open, to be delivered by the next run; how many. A log that is open does it
    /// [itself](crate::Consumer::replay).
    ///
    /// # Errors
    /// A log has the file open, or it cannot be written.
    pub fn replay(
        path: impl AsRef<Path>,
        consumer: Option<&str>,
        which: &Which,
    ) -> Result<u64, OpenError> {
        change(path.as_ref(), consumer, |store, number| {
            dead_rows::replay(&store.connection, &store.openings, number, which)
        })
    }

    /// Throws away dead letters of all consumers, or of the one of this name, of a file that no log
    /// has open; how many. A log that is open does it [itself](crate::Consumer::purge).
    ///
    /// # Errors
    /// A log has the file open, or it cannot be written.
    pub fn purge(
        path: impl AsRef<Path>,
        consumer: Option<&str>,
        which: &Which,
    ) -> Result<u64, OpenError> {
        change(path.as_ref(), consumer, |store, number| {
            let count = dead_rows::purge(&store.connection, &store.openings, number, which)?;
            dead_rows::sweep(&store.connection, store.trimmed)?;
            Ok(count)
        })
    }
}

/// Does something for the consumer of this name, or for each, in a file that no log has open.
fn change(
    path: &Path,
    consumer: Option<&str>,
    change: impl Fn(&Store, i64) -> rusqlite::Result<u64>,
) -> Result<u64, OpenError> {
    // A look first, which creates nothing.
    let spool = Spool::open(path)?;
    let owner = schema::owner_of(&spool.connection);
    let owner = owner.map_err(|error| OpenError::sqlite(path, error))?;
    drop(spool);
    let path = lock::resolve(path)?;
    let store = Store::open(&path, Durability::Full, owner)?;
    let change_all = || {
        let mut count = 0;
        for number in consumer_rows::numbers(&store.connection, consumer)? {
            count += change(&store, number)?;
        }
        Ok(count)
    };
    change_all().map_err(|error| OpenError::sqlite(&path, error))
}

fn consumers(connection: &Connection) -> rusqlite::Result<Vec<ConsumerStats>> {
    let mut select = connection.prepare(
        "SELECT consumer, name, position, disabled FROM durable_consumers ORDER BY consumer",
    )?;
    let found =
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    found
        .map(|found| {
            let (number, name, position, disabled): (i64, String, u64, bool) = found?;
            let count = |states: &str| -> rusqlite::Result<u64> {
                let sql = format!(
                    "SELECT count(*) FROM durable_deliveries WHERE consumer = ?1 AND {states}"
                );
                connection.prepare_cached(&sql)?.query_row([number], |row| row.get(0))
            };
            let next_due: Option<u64> = connection
                .prepare_cached(
                    "SELECT due FROM durable_deliveries WHERE consumer = ?1 AND state = 0
                     ORDER BY due LIMIT 1",
                )?
                .query_row([number], |row| row.get(0))
                .optional()?;
            Ok(ConsumerStats {
                name,
                position,
                waiting: count_from(connection, position)?,
                parked: count("state < 2")?,
                next_due: next_due.map(system_time),
                dead: count("state = 2")?,
                disabled,
            })
        })
        .collect()
}

/// An event as it is stored. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw {
    id: EventId,
    written: u64,
    event: Arc<[u8]>,
}

impl Raw {
    /// The event's name.
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// When it was written.
    pub fn written(&self) -> SystemTime {
        system_time(self.written)
    }

    /// The event as it is stored: JSON, unless somebody else has changed it.
    pub fn raw(&self) -> &[u8] {
        &self.event
    }

    /// The event.
    ///
    /// # Errors
    /// It does not decode. The error may quote the event.
    pub fn event<E: DeserializeOwned>(&self) -> Result<E, serde_json::Error> {
        encoding::decode(&self.event)
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Iterates over the events that are kept in a file, a page at a time.
///
/// At the end of what is there it says `None`; asked again later, it goes on with what was written
/// since.
#[derive(Debug)]
pub struct Events {
    spool: Spool,
    next: u64,
    page: VecDeque<Raw>,
}

impl Events {
    fn next_page(&self) -> rusqlite::Result<VecDeque<Raw>> {
        // Each event is read on its own, without a limit in bytes.
        let rows = page(&self.spool.connection, self.next, u64::MAX, PAGE, u64::MAX)?;
        let raw = rows.into_iter().map(|row| Raw {
            id: self.spool.openings.id(row.seq),
            written: row.written,
            event: row.text,
        });
        Ok(raw.collect())
    }
}

impl Iterator for Events {
    type Item = Result<Raw, OpenError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty() {
            match self.next_page() {
                Ok(page) => self.page = page,
                Err(error) => return Some(Err(OpenError::sqlite(&self.spool.path, error))),
            }
        }
        let event = self.page.pop_front()?;
        self.next = event.id.number() + 1;
        Some(Ok(event))
    }
}
