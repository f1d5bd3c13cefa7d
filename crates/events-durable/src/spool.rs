use std::{
    collections::VecDeque,
    fmt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rusqlite::Connection;
use serde::de::DeserializeOwned;

use crate::{
    dead_letters::{DeadLetters, Which},
    durability::Durability,
    encoding,
    event_id::EventId,
    open_error::OpenError,
    schema,
    store::{Store, bytes_of, count_events, file_number, size},
    stored::system_time,
};

/// How many events are read at a time.
const PAGE: u64 = 100;

/// A look inside the file of a durable queue, whether or not a queue has it open.
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
/// let stats = Spool::open(&path)?.stats()?;
/// assert_eq!((stats.pending, stats.dead), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Spool {
    connection: Connection,
    path: PathBuf,
    file: u64,
}

/// What is in the file of a durable queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolStats {
    /// Events that wait for their delivery.
    pub pending: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest event that waits was written.
    pub oldest: Option<SystemTime>,
    /// How many bytes of the file are in use.
    pub used_bytes: u64,
    /// How many bytes the file has; what is not in use is used again. The write-ahead log beside
    /// it is not counted.
    pub file_bytes: u64,
}

impl Spool {
    /// Opens the file to read.
    ///
    /// # Errors
    /// There is no such file, it holds something else, or it is damaged.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = path.into();
        let connection = schema::open_to_read(&path)?;
        let file = file_number(&path, &connection)?;
        Ok(Self { connection, path, file })
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
        let read = || -> rusqlite::Result<SpoolStats> {
            // All figures are of one moment, whatever a queue does meanwhile.
            let _moment = self.connection.unchecked_transaction()?;
            let number = |sql: &str| -> rusqlite::Result<Option<u64>> {
                self.connection.query_row(sql, [], |row| row.get(0))
            };
            let oldest = "SELECT (SELECT written FROM events ORDER BY seq LIMIT 1)";
            let (used_bytes, file_bytes) = size(&self.connection)?;
            Ok(SpoolStats {
                pending: count_events(&self.connection)?,
                dead: number("SELECT count(*) FROM dead")?.unwrap_or(0),
                oldest: number(oldest)?.map(system_time),
                used_bytes,
                file_bytes,
            })
        };
        read().map_err(|error| OpenError::sqlite(&self.path, error))
    }

    /// The events that wait, in the order of their delivery, without those that are delivered
    /// before they are read.
    pub fn events(self) -> Events {
        Events { spool: self, after: 0, page: VecDeque::new() }
    }

    /// The dead letters, in the order they were written.
    pub fn dead_letters(self) -> DeadLetters {
        DeadLetters::new(self.connection, self.path, self.file)
    }

    /// Puts dead letters back into a file that no queue has open, behind all that waits; how many.
    /// A queue that is open does it [itself](crate::DurableQueue::replay).
    ///
    /// # Errors
    /// A queue has the file open, or it cannot be written.
    pub fn replay(path: impl AsRef<Path>, which: &Which) -> Result<u64, OpenError> {
        let path = path.as_ref();
        // A look first, which creates nothing.
        Self::open(path)?;
        let mut store = Store::open(path, Durability::Full)?;
        store.replay(which).map_err(|error| OpenError::sqlite(path, error))
    }

    /// Throws away dead letters of a file that no queue has open; how many. A queue that is open
    /// does it [itself](crate::DurableQueue::purge).
    ///
    /// # Errors
    /// A queue has the file open, or it cannot be written.
    pub fn purge(path: impl AsRef<Path>, which: &Which) -> Result<u64, OpenError> {
        let path = path.as_ref();
        Self::open(path)?;
        let mut store = Store::open(path, Durability::Full)?;
        store.purge(which).map_err(|error| OpenError::sqlite(path, error))
    }
}

/// An event as it is stored. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw {
    id: EventId,
    written: u64,
    event: Vec<u8>,
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

/// Iterates over the events that wait in a file, a page at a time.
///
/// At the end of what is there it says `None`; asked again later, it goes on with what was written
/// since.
#[derive(Debug)]
pub struct Events {
    spool: Spool,
    after: u64,
    page: VecDeque<(u64, Raw)>,
}

impl Events {
    fn next_page(&self) -> rusqlite::Result<VecDeque<(u64, Raw)>> {
        let mut select = self.spool.connection.prepare_cached(
            "SELECT seq, id, written, event FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?;
        let page = select.query_map([self.after, PAGE], |row| {
            let id = EventId::new(self.spool.file, row.get(1)?);
            let event = bytes_of(row, 3)?.to_vec();
            Ok((row.get(0)?, Raw { id, written: row.get(2)?, event }))
        })?;
        page.collect()
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
        let (seq, event) = self.page.pop_front()?;
        self.after = seq;
        Some(Ok(event))
    }
}
