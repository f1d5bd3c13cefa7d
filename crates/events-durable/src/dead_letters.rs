use std::{collections::VecDeque, fmt, path::PathBuf, time::SystemTime};

use rusqlite::Connection;
use serde::de::DeserializeOwned;

use crate::{
    encoding, event_id::EventId, open_error::OpenError, store::bytes_of, stored::system_time,
};

/// How many are read at a time.
const PAGE: u64 = 100;

/// Which dead letters to [replay](crate::DurableQueue::replay) or
/// [purge](crate::DurableQueue::purge).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All there are.
    All,
    /// Those with these ids; an id that is no dead letter's is passed over.
    Ids(Vec<EventId>),
}

/// An event that the sink refused for good, or that no longer decodes.
///
/// Its `Debug` does not show the event.
#[derive(Clone, PartialEq, Eq)]
pub struct Dead {
    id: EventId,
    written: u64,
    error: String,
    attempts: u32,
    first_failed: u64,
    last_failed: u64,
    event: Vec<u8>,
}

impl Dead {
    /// The event's name: the same as in its deliveries.
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// When the event was written.
    pub fn written(&self) -> SystemTime {
        system_time(self.written)
    }

    /// Why it failed the last time: the error and what is behind it, in one line.
    pub fn error(&self) -> &str {
        &self.error
    }

    /// How many times it has come here: once, and once more for each replay. What a retry tries in
    /// between is not counted.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When it came here first.
    pub fn first_failed(&self) -> SystemTime {
        system_time(self.first_failed)
    }

    /// When it came here last.
    pub fn last_failed(&self) -> SystemTime {
        system_time(self.last_failed)
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

impl fmt::Debug for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dead")
            .field("id", &self.id)
            .field("error", &self.error)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// Iterates over the dead letters of a file in the order they were written, a page at a time.
///
/// It ends after an error.
#[derive(Debug)]
pub struct DeadLetters {
    connection: Connection,
    path: PathBuf,
    file: u64,
    after: u64,
    page: VecDeque<Dead>,
    ended: bool,
}

impl DeadLetters {
    pub(crate) const fn new(connection: Connection, path: PathBuf, file: u64) -> Self {
        Self { connection, path, file, after: 0, page: VecDeque::new(), ended: false }
    }

    fn next_page(&self) -> rusqlite::Result<VecDeque<Dead>> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, written, error, attempts, first_failed, last_failed, event
             FROM dead WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let page = select.query_map([self.after, PAGE], |row| {
            Ok(Dead {
                id: EventId::new(self.file, row.get(0)?),
                written: row.get(1)?,
                error: row.get(2)?,
                attempts: row.get(3)?,
                first_failed: row.get(4)?,
                last_failed: row.get(5)?,
                event: bytes_of(row, 6)?.to_vec(),
            })
        })?;
        page.collect()
    }
}

impl Iterator for DeadLetters {
    type Item = Result<Dead, OpenError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty() && !self.ended {
            match self.next_page() {
                Ok(page) => self.page = page,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(OpenError::sqlite(&self.path, error)));
                }
            }
            self.ended = self.page.is_empty();
        }
        let dead = self.page.pop_front()?;
        self.after = dead.id.number();
        Some(Ok(dead))
    }
}
