use std::{collections::VecDeque, fmt, path::PathBuf, sync::Arc, time::SystemTime};

use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;

use crate::{
    encoding, event_id::EventId, open_error::OpenError, openings::Openings, store::bytes_of,
    stored::system_time,
};

/// How many are read at a time.
const PAGE: u64 = 100;

/// Which dead letters to [replay](crate::Consumer::replay) or [purge](crate::Consumer::purge).
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
    consumer: Arc<str>,
    id: EventId,
    written: u64,
    error: String,
    attempts: u32,
    first_failed: u64,
    last_failed: u64,
    event: Vec<u8>,
}

impl Dead {
    /// The name of the consumer whose sink refused it; that of a
    /// [`DurableQueue`](crate::DurableQueue) is `queue`.
    pub fn consumer(&self) -> &str {
        &self.consumer
    }

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

    /// How often it was delivered in vain: once for each time it came here, and for each time it was
    /// parked for a [redelivery](crate::ConsumerBuilder::redeliver). What a retry in line tries is
    /// not counted.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When a delivery failed first.
    pub fn first_failed(&self) -> SystemTime {
        system_time(self.first_failed)
    }

    /// When a delivery failed last.
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
            .field("consumer", &self.consumer)
            .field("id", &self.id)
            .field("error", &self.error)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// Iterates over the dead letters of a file, or of one consumer, in the order they were written, a
/// page at a time.
///
/// It ends after an error.
#[derive(Debug)]
pub struct DeadLetters {
    connection: Connection,
    path: PathBuf,
    openings: Arc<Openings>,
    /// Of whom; of all if there is none.
    consumer: Option<String>,
    /// The event and the consumer of the last one.
    after: (u64, i64),
    page: VecDeque<(i64, Dead)>,
    ended: bool,
}

impl DeadLetters {
    pub(crate) fn new(
        connection: Connection,
        path: PathBuf,
        openings: Arc<Openings>,
        consumer: Option<String>,
    ) -> Self {
        let (after, page) = ((0, 0), VecDeque::new());
        Self { connection, path, openings, consumer, after, page, ended: false }
    }

    fn next_page(&self) -> rusqlite::Result<VecDeque<(i64, Dead)>> {
        let mut select = self.connection.prepare_cached(
            "SELECT d.consumer, c.name, d.seq, e.written, coalesce(d.error, ''), d.attempts,
                    d.first_failed, d.last_failed, e.event
             FROM durable_deliveries AS d
             JOIN durable_events AS e ON e.seq = d.seq
             JOIN durable_consumers AS c ON c.consumer = d.consumer
             WHERE d.state = 2 AND (d.seq, d.consumer) > (?1, ?2) AND (?3 IS NULL OR c.name = ?3)
             ORDER BY d.seq, d.consumer LIMIT ?4",
        )?;
        let (seq, consumer) = self.after;
        let page = select.query_map(params![seq, consumer, self.consumer, PAGE], |row| {
            let name: String = row.get(1)?;
            let dead = Dead {
                consumer: Arc::from(name),
                id: self.openings.id(row.get(2)?),
                written: row.get(3)?,
                error: row.get(4)?,
                attempts: row.get(5)?,
                first_failed: row.get(6)?,
                last_failed: row.get(7)?,
                event: bytes_of(row, 8)?.to_vec(),
            };
            Ok((row.get(0)?, dead))
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
        let (consumer, dead) = self.page.pop_front()?;
        self.after = (dead.id.number(), consumer);
        Some(Ok(dead))
    }
}
