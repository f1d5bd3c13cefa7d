//! Events that are committed with the data they tell of: the transactional outbox.
//!
//! A program that writes its data, and then an event to a queue, loses the event if it ends in
//! between; the other way round it tells of what never was. Here both are in one transaction of the
//! program's own SQLite file.
//!
//! ```
//! use std::sync::Arc;
//! use events_core::{Close, Memory};
//! use events_durable::{DurableLog, Plain, outbox::rusqlite::Connection};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("shop.db");
//! let mut shop = Connection::open(&path)?;
//! shop.execute_batch("CREATE TABLE orders (customer TEXT)")?;
//! let log = DurableLog::<String>::builder(&path).inside().open()?;
//! let hook = Arc::new(Memory::new());
//! log.consumer("hook").spawn(Plain::new(Arc::clone(&hook)))?;
//!
//! let transaction = shop.transaction()?;
//! transaction.execute("INSERT INTO orders VALUES ('Ada')", [])?;
//! log.write_in(&transaction, &"Ada has ordered".to_owned())?;
//! transaction.commit()?; // both, or none
//!
//! let event = log.read(events_durable::Start::Earliest)?.next().unwrap()?;
//! assert_eq!(*event, "Ada has ordered");
//! log.close().wait()?;
//! assert_eq!(hook.events(), ["Ada has ordered"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use events_core::{Event, SinkError};
pub use rusqlite;
use rusqlite::{Connection, params};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    encoding::encode, event_id::EventId, log::DurableLog, openings::Openings, stored::now,
};

/// Writes an event into the log inside the database of this transaction, whichever process has the
/// log open: it is noticed there within a tenth of a second of the commit. The process that has it
/// open itself is quicker with [`DurableLog::write_in`].
///
/// The log must have been created: by opening it once. The bounds of the log do not hold here.
///
/// # Errors
/// `Rejected` if the event would not come back as it was, `Unavailable` if it could not be written,
/// such as when somebody else has written since the transaction began to read: then the transaction
/// is to be begun anew. A transaction that begins with this, or is `IMMEDIATE`, is never told so.
pub fn write<E: Serialize + DeserializeOwned>(
    transaction: &Connection,
    event: &E,
) -> Result<EventId, SinkError> {
    let (text, _same) = encode(event)?;
    let insert = || -> rusqlite::Result<EventId> {
        // In one statement, which has the right to write before it looks for the place.
        transaction
            .prepare_cached(
                "INSERT INTO durable_events (seq, written, event)
                 SELECT max(last, trimmed - 1,
                            coalesce((SELECT max(seq) FROM durable_events), 0)) + 1, ?1, ?2
                 FROM durable_log",
            )?
            .execute(params![now(), text])?;
        let seq = transaction.last_insert_rowid().cast_unsigned();
        Ok(Openings::load(transaction)?.id(seq))
    };
    insert().map_err(SinkError::unavailable)
}

impl<E: Event + Serialize + DeserializeOwned> DurableLog<E> {
    /// Writes an event as part of a transaction of the program's own, in the file that the log is
    /// [inside](crate::LogBuilder::inside): it is delivered after the commit, and never was after a
    /// rollback.
    ///
    /// A commit within five seconds is noticed within a millisecond or so, and a later one within a
    /// tenth of a second. The bounds of the log do not hold here.
    ///
    /// # Errors
    /// Those of [`outbox::write`](write()), and [`Closed`](events_core::ErrorKind::Closed).
    pub fn write_in(&self, transaction: &Connection, event: &E) -> Result<EventId, SinkError> {
        let commits = &self.state().commits;
        commits.lock().check_open()?;
        let id = write(transaction, event)?;
        commits.expect_others();
        Ok(id)
    }
}
