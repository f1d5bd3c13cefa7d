//! What is done to the tables, in SQL.

use std::{ops::Range, path::Path, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Result, Row as SqlRow, params};

use crate::{
    dead_letters::Which,
    durability::Durability,
    event_id::EventId,
    lock::FileLock,
    open_error::{OpenError, OpenErrorKind},
    row::Row,
    schema,
    stored::now,
};

/// The file, open for its one writer.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) connection: Connection,
    /// The random number of the file, the first half of every id.
    pub(crate) file: u64,
    /// The place in the order that the next event gets. It is the event's number too.
    pub(crate) next_seq: u64,
    _lock: FileLock,
}

impl Store {
    pub(crate) fn open(
        path: &Path,
        durability: Durability,
    ) -> std::result::Result<Self, OpenError> {
        let lock = FileLock::take(path)?;
        let connection = schema::open(path, durability)?;
        let sqlite = |error| OpenError::sqlite(path, error);
        let last: u64 = connection
            .query_row(
                "SELECT max(last, coalesce((SELECT max(seq) FROM events), 0)) FROM spool",
                [],
                |row| row.get(0),
            )
            .map_err(sqlite)?;
        let file = file_number(path, &connection)?;
        Ok(Self { connection, file, next_seq: last + 1, _lock: lock })
    }

    /// The next events in order, from `from` on: up to `most`, and no more than about `bytes` of
    /// them, but at least one if there is one.
    pub(crate) fn page(&self, from: u64, most: u64, bytes: u64) -> Result<Vec<Row>> {
        let mut select = self.connection.prepare_cached(
            "SELECT seq, id, written, event FROM events WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
        )?;
        let mut found = select.query(params![from, most])?;
        let mut rows = Vec::new();
        let mut size = 0;
        while let Some(row) = found.next()? {
            let text: Arc<[u8]> = Arc::from(bytes_of(row, 3)?);
            size += text.len() as u64;
            let id = EventId::new(self.file, row.get(1)?);
            rows.push(Row { seq: row.get(0)?, id, written: row.get(2)?, text });
            if size >= bytes {
                break;
            }
        }
        Ok(rows)
    }

    /// Puts dead letters back, behind all that waits; how many.
    pub(crate) fn replay(&mut self, which: &Which) -> Result<u64> {
        let (file, first) = (self.file, self.next_seq);
        let transaction = self.connection.transaction()?;
        let mut count = 0;
        let put_back = |condition: &str, next: u64, number: u64| {
            let sql = format!(
                "INSERT INTO events (seq, id, written, attempts, first_failed, event)
                 SELECT ?1 + row_number() OVER (ORDER BY id) - 1, id, written, attempts,
                        first_failed, event
                 FROM dead WHERE {condition} ORDER BY id"
            );
            transaction.execute(&sql, params![next, number])
        };
        match which {
            Which::All => {
                count += put_back("?2 = ?2", first, 0)? as u64;
                transaction.execute("DELETE FROM dead", [])?;
            }
            Which::Ids(ids) => {
                for number in numbers(ids, file) {
                    count += put_back("id = ?2", first + count, number)? as u64;
                    transaction.execute("DELETE FROM dead WHERE id = ?1", [number])?;
                }
            }
        }
        transaction.commit()?;
        self.next_seq += count;
        Ok(count)
    }

    /// Throws dead letters away; how many.
    pub(crate) fn purge(&mut self, which: &Which) -> Result<u64> {
        let file = self.file;
        let transaction = self.connection.transaction()?;
        let mut count = 0;
        match which {
            Which::All => count += transaction.execute("DELETE FROM dead", [])?,
            Which::Ids(ids) => {
                for number in numbers(ids, file) {
                    count += transaction.execute("DELETE FROM dead WHERE id = ?1", [number])?;
                }
            }
        }
        transaction.commit()?;
        Ok(count as u64)
    }
}

/// The numbers of the ids that are of this file.
fn numbers(ids: &[EventId], file: u64) -> impl Iterator<Item = u64> {
    ids.iter().filter(move |id| id.file() == file).map(|id| id.number())
}

/// The random number that was given to the file.
pub(crate) fn file_number(
    path: &Path,
    connection: &Connection,
) -> std::result::Result<u64, OpenError> {
    let text: String = connection
        .query_row("SELECT id FROM spool", [], |row| row.get(0))
        .map_err(|error| OpenError::sqlite(path, error))?;
    u64::from_str_radix(&text, 16)
        .map_err(|error| OpenError::new(OpenErrorKind::Corrupt, path).with_source(error))
}

/// What the text or blob in a column holds, whichever it is.
pub(crate) fn bytes_of<'a>(row: &'a SqlRow<'_>, column: usize) -> Result<&'a [u8]> {
    Ok(row.get_ref(column)?.as_bytes().unwrap_or_default())
}

/// Adds events in this order, the first at the place `first`.
pub(crate) fn insert<'a>(
    connection: &Connection,
    first: u64,
    written: u64,
    texts: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT INTO events (seq, id, written, event) VALUES (?1, ?1, ?2, ?3)")?;
    for (seq, text) in (first..).zip(texts) {
        insert.execute(params![seq, written, text])?;
    }
    Ok(())
}

/// Deletes the events in this range of the order; how many there were.
pub(crate) fn delete(connection: &Connection, seqs: &Range<u64>) -> Result<u64> {
    let mut delete =
        connection.prepare_cached("DELETE FROM events WHERE seq >= ?1 AND seq < ?2")?;
    Ok(delete.execute(params![seqs.start, seqs.end])? as u64)
}

/// Moves an event to the dead letters.
pub(crate) fn bury(connection: &Connection, seq: u64, error: &str) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO dead (id, written, error, attempts, first_failed, last_failed, event)
             SELECT id, written, ?2, attempts + 1, coalesce(first_failed, ?3), ?3, event
             FROM events WHERE seq = ?1",
        )?
        .execute(params![seq, error, now()])?;
    delete(connection, &(seq..seq + 1))?;
    Ok(())
}

/// Remembers the last number given out, for when no event is left to tell it.
pub(crate) fn remember_last(connection: &Connection, last: u64) -> Result<()> {
    connection.prepare_cached("UPDATE spool SET last = ?1")?.execute([last])?;
    Ok(())
}

/// The place after `skip` events that lie at or after `from`, if there are so many.
pub(crate) fn nth_after(connection: &Connection, from: u64, skip: u64) -> Result<Option<u64>> {
    connection
        .prepare_cached("SELECT seq FROM events WHERE seq >= ?1 ORDER BY seq LIMIT 1 OFFSET ?2")?
        .query_row(params![from, skip], |row| row.get(0))
        .optional()
}

/// How many bytes of the file are in use, without those that wait to be used again, and how many
/// it has.
pub(crate) fn size(connection: &Connection) -> Result<(u64, u64)> {
    let number = |sql: &str| -> Result<u64> {
        connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
    };
    let page = number("PRAGMA page_size")?;
    let pages = number("PRAGMA page_count")?;
    Ok(((pages - number("PRAGMA freelist_count")?) * page, pages * page))
}

/// Makes the file as small as what is in it.
pub(crate) fn shrink(connection: &Connection) -> Result<()> {
    connection.execute_batch("VACUUM")?;
    // So far the small file is in the log alone, and the large one would stay until the log is
    // full. Passive, since nobody is to wait for one who reads.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// How many events wait, without counting millions of them: they lie side by side, but for a gap
/// that a dropped event may have left near the front.
pub(crate) fn count_events(connection: &Connection) -> Result<u64> {
    const NEAR: u64 = 1_000;
    let (near, end): (u64, Option<u64>) = connection.query_row(
        "SELECT count(*), max(seq) FROM (SELECT seq FROM events ORDER BY seq LIMIT ?1)",
        [NEAR],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let last: Option<u64> =
        connection.query_row("SELECT max(seq) FROM events", [], |row| row.get(0))?;
    Ok(near + last.unwrap_or(0) - end.unwrap_or(0))
}
