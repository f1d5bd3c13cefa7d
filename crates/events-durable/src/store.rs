//! What is done to the events in the file, in SQL.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, OptionalExtension, Result, Row as SqlRow, params};

use crate::{
    durability::Durability,
    lock::{FileId, FileLock},
    open_error::{OpenError, OpenErrorKind},
    openings::Openings,
    schema::{self, Owner},
};

/// The file, open for its one writer.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) connection: Connection,
    pub(crate) openings: Arc<Openings>,
    /// The sequence number that the next event gets.
    pub(crate) next_seq: u64,
    /// All before is deleted, but for events that have rows.
    pub(crate) trimmed: u64,
    /// Whether the file knows the number that this opening has drawn.
    pub(crate) is_opening_saved: bool,
    pub(crate) owner: Owner,
    path: PathBuf,
    file: FileId,
    _lock: FileLock,
}

impl Store {
    /// The file at this path, [resolved](crate::lock::resolve).
    pub(crate) fn open(
        path: &Path,
        durability: Durability,
        owner: Owner,
    ) -> std::result::Result<Self, OpenError> {
        let lock = FileLock::take(path)?;
        let connection = schema::open(path, durability, owner)?;
        let read = || -> Result<(u64, u64, Openings)> {
            let next = next_seq(&connection)?;
            let trimmed =
                connection.query_row("SELECT trimmed FROM durable_log", [], |row| row.get(0))?;
            Ok((next, trimmed, Openings::begin(&connection, next)?))
        };
        let (next_seq, trimmed, openings) =
            read().map_err(|error| OpenError::sqlite(path, error))?;
        let openings = Arc::new(openings);
        let file = FileId::of(path)
            .map_err(|error| OpenError::new(OpenErrorKind::Io, path).with_source(error))?;
        let is_opening_saved = false;
        let path = path.to_owned();
        Ok(Self {
            connection,
            openings,
            next_seq,
            trimmed,
            is_opening_saved,
            owner,
            path,
            file,
            _lock: lock,
        })
    }

    /// Has the file know the number that this opening has drawn.
    pub(crate) fn save_opening(&mut self) -> Result<()> {
        let oldest = oldest(&self.connection)?.unwrap_or(self.next_seq);
        self.openings.save(&self.connection, oldest)?;
        self.is_opening_saved = true;
        Ok(())
    }

    /// A number that is another one once somebody else has written to the file.
    pub(crate) fn version(&self) -> Result<i64> {
        self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    /// Whether the file is still where it was.
    ///
    /// # Errors
    /// It was deleted, or another one is there.
    pub(crate) fn check_file(&self) -> std::result::Result<(), &'static str> {
        match FileId::of(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            Ok(_) => Err("the file was replaced by another one while it was open"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err("the file was deleted while it was open")
            }
            // Whatever it is, it says nothing about the file that is open.
            Err(_) => Ok(()),
        }
    }
}

/// An event that comes from the disk, as it is stored there.
#[derive(Debug, Clone)]
pub(crate) struct RawEvent {
    pub(crate) seq: u64,
    pub(crate) written: u64,
    pub(crate) attempts: u32,
    /// The hash of its key, if it has a row that tells.
    pub(crate) key: Option<u64>,
    pub(crate) text: Arc<[u8]>,
}

/// The next events in order, from `from` up to `end`: up to `most`, and no more than about `bytes`
/// of them, but at least one if there is one.
pub(crate) fn page(
    connection: &Connection,
    from: u64,
    end: u64,
    most: usize,
    bytes: u64,
) -> Result<Vec<RawEvent>> {
    let mut select = connection.prepare_cached(
        "SELECT seq, written, event FROM durable_events WHERE seq >= ?1 AND seq < ?2 ORDER BY seq LIMIT ?3",
    )?;
    let end = end.min(i64::MAX as u64);
    let mut found = select.query(params![from, end, most])?;
    let mut events = Vec::new();
    let mut size = 0;
    while let Some(row) = found.next()? {
        let text: Arc<[u8]> = Arc::from(bytes_of(row, 2)?);
        size += text.len() as u64;
        let (seq, written) = (row.get(0)?, row.get(1)?);
        events.push(RawEvent { seq, written, attempts: 0, key: None, text });
        if size >= bytes {
            break;
        }
    }
    Ok(events)
}

/// The sequence number that the next event gets.
pub(crate) fn next_seq(connection: &Connection) -> Result<u64> {
    connection
        .prepare_cached(
            "SELECT max(last, trimmed - 1, coalesce((SELECT max(seq) FROM durable_events), 0)) + 1
             FROM durable_log",
        )?
        .query_row([], |row| row.get(0))
}

/// The place of the first event there is.
pub(crate) fn oldest(connection: &Connection) -> Result<Option<u64>> {
    connection.query_row("SELECT min(seq) FROM durable_events", [], |row| row.get(0))
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
        .prepare_cached("INSERT INTO durable_events (seq, written, event) VALUES (?1, ?2, ?3)")?;
    for (seq, text) in (first..).zip(texts) {
        insert.execute(params![seq, written, text])?;
    }
    Ok(())
}

/// Deletes the events in this range of the order, but for those that have rows.
pub(crate) fn delete(connection: &Connection, seqs: &Range<u64>) -> Result<u64> {
    if seqs.is_empty() {
        return Ok(0);
    }
    let has_rows = exists(connection, "SELECT EXISTS (SELECT 1 FROM durable_deliveries)")?;
    let unless = if has_rows {
        " AND NOT EXISTS (SELECT 1 FROM durable_deliveries WHERE durable_deliveries.seq = durable_events.seq)"
    } else {
        ""
    };
    let sql = format!("DELETE FROM durable_events WHERE seq >= ?1 AND seq < ?2{unless}");
    let count = connection.prepare_cached(&sql)?.execute(params![seqs.start, seqs.end])?;
    if exists(connection, "SELECT EXISTS (SELECT 1 FROM durable_attempts)")? {
        let sql = "DELETE FROM durable_attempts WHERE seq >= ?1 AND seq < ?2
                 AND NOT EXISTS (SELECT 1 FROM durable_events WHERE durable_events.seq = durable_attempts.seq)";
        connection.prepare_cached(sql)?.execute(params![seqs.start, seqs.end])?;
    }
    Ok(count as u64)
}

fn exists(connection: &Connection, sql: &str) -> Result<bool> {
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

/// Remembers up to where events were deleted.
pub(crate) fn set_trimmed(connection: &Connection, trimmed: u64) -> Result<()> {
    connection.prepare_cached("UPDATE durable_log SET trimmed = ?1")?.execute([trimmed])?;
    Ok(())
}

/// Remembers the last number given out, where no event is left to tell it.
pub(crate) fn remember_last(connection: &Connection, last: u64) -> Result<()> {
    let newest: Option<u64> = connection
        .prepare_cached("SELECT max(seq) FROM durable_events")?
        .query_row([], |row| row.get(0))?;
    if newest.is_none_or(|newest| newest < last) {
        connection.prepare_cached("UPDATE durable_log SET last = ?1")?.execute([last])?;
    }
    Ok(())
}

/// The place after `skip` events that lie at or after `from`, if there are so many.
pub(crate) fn nth_after(connection: &Connection, from: u64, skip: u64) -> Result<Option<u64>> {
    connection
        .prepare_cached(
            "SELECT seq FROM durable_events WHERE seq >= ?1 ORDER BY seq LIMIT 1 OFFSET ?2",
        )?
        .query_row(params![from, skip.min(i64::MAX as u64)], |row| row.get(0))
        .optional()
}

/// How many events lie in this range of the order.
pub(crate) fn count_in(connection: &Connection, seqs: &Range<u64>) -> Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM durable_events WHERE seq >= ?1 AND seq < ?2")?
        .query_row(params![seqs.start, seqs.end.min(i64::MAX as u64)], |row| row.get(0))
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

/// How many events lie at `from` and behind, without counting millions of them: they lie side by
/// side, but for a gap that a dropped event may have left near the front.
pub(crate) fn count_from(connection: &Connection, from: u64) -> Result<u64> {
    const NEAR: u64 = 1_000;
    let (near, end): (u64, Option<u64>) = connection.query_row(
        "SELECT count(*), max(seq)
         FROM (SELECT seq FROM durable_events WHERE seq >= ?1 ORDER BY seq LIMIT ?2)",
        [from, NEAR],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let last: Option<u64> =
        connection.query_row("SELECT max(seq) FROM durable_events", [], |row| row.get(0))?;
    Ok(near + end.map_or(0, |end| last.unwrap_or(end) - end))
}
