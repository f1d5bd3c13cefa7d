//! What the tables know of consumers, in SQL.

use std::{collections::HashMap, ops::Range, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::{
    consumer_state::{
        changes::{Changes, RowState},
        keys::Held,
    },
    openings::Openings,
    start::Start,
    store::{RawEvent, Store, bytes_of, count_from, size as store_size},
    stored::millis,
};

/// A consumer as the file knows it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) number: i64,
    /// Before it all is settled, or has a row.
    pub(crate) position: u64,
    /// The sequence number of the next event to be written.
    pub(crate) head: u64,
    /// How many events lie at the position and behind.
    pub(crate) waiting: u64,
    /// How many have rows and are no dead letters.
    pub(crate) set_aside: u64,
    /// Keys that an earlier event holds up.
    pub(crate) held_keys: HashMap<u64, Held>,
    pub(crate) disabled: bool,
    /// How many events it has missed that are no longer kept.
    pub(crate) missed: u64,
}

/// Finds a consumer, or creates it so that it begins at `start`.
pub(crate) fn attach(
    store: &mut Store,
    name: &str,
    start: Start,
    is_ordered: bool,
) -> Result<Found> {
    let head = store.next_seq;
    let openings = Arc::clone(&store.openings);
    let transaction = store.connection.transaction()?;
    let connection: &Connection = &transaction;
    let known = connection
        .query_row(
            "SELECT consumer, position, disabled FROM durable_consumers WHERE name = ?1",
            [name],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let (number, position, disabled): (i64, u64, bool) = if let Some(known) = known {
        known
    } else {
        let position = place(connection, &openings, start, head)?;
        connection.execute(
            "INSERT INTO durable_consumers (name, position) VALUES (?1, ?2)",
            params![name, position],
        )?;
        (connection.last_insert_rowid(), position, false)
    };
    let (found, position) = (position, position.max(trimmed(connection)?));
    let held_keys = release_keys(connection, number, is_ordered)?;
    let set_aside = connection.query_row(
        "SELECT count(*) FROM durable_deliveries WHERE consumer = ?1 AND state < 2",
        [number],
        |row| row.get(0),
    )?;
    let waiting = count_from(connection, position)?;
    let missed = position - found;
    transaction.commit()?;
    Ok(Found { number, position, head, waiting, set_aside, held_keys, disabled, missed })
}

/// Of each key the first event leads; without an order all do. What keys are held up.
fn release_keys(
    connection: &Connection,
    consumer: i64,
    is_ordered: bool,
) -> Result<HashMap<u64, Held>> {
    if !is_ordered {
        connection.execute(
            "UPDATE durable_deliveries SET state = 0, key = NULL
             WHERE consumer = ?1 AND state < 2 AND (state = 1 OR key IS NOT NULL)",
            [consumer],
        )?;
        return Ok(HashMap::new());
    }
    connection.execute(
        "UPDATE durable_deliveries SET state = 0, due = 0
         WHERE consumer = ?1 AND state = 1 AND NOT EXISTS (
             SELECT 1 FROM durable_deliveries AS other
             WHERE other.consumer = ?1 AND other.key = durable_deliveries.key AND other.state < 2
                 AND (other.state = 0 OR other.seq < durable_deliveries.seq))",
        [consumer],
    )?;
    let mut select = connection.prepare(
        "SELECT key, sum(state), min(CASE state WHEN 0 THEN seq END) FROM durable_deliveries
         WHERE consumer = ?1 AND state < 2 AND key IS NOT NULL GROUP BY key",
    )?;
    let keys = select.query_map([consumer], |row| {
        let key: i64 = row.get(0)?;
        Ok((key.cast_unsigned(), Held { leader: row.get(2)?, behind: row.get(1)? }))
    })?;
    keys.collect()
}

/// The place at which one begins to read who begins at `start`.
pub(crate) fn position(store: &Store, start: Start) -> Result<u64> {
    place(&store.connection, &store.openings, start, store.next_seq)
}

/// The same, where `head` is the sequence number of the next event to be written.
pub(crate) fn place(
    connection: &Connection,
    openings: &Openings,
    start: Start,
    head: u64,
) -> Result<u64> {
    let trimmed = trimmed(connection)?;
    let position = match start {
        Start::Earliest => trimmed,
        Start::After(id) => openings.seq(id).map_or(trimmed, |seq| seq + 1),
        Start::At(time) => first_written_at(connection, trimmed, head, millis(time))?,
        Start::Latest | Start::Last(0) => head,
        Start::Last(count) => connection
            .query_row(
                "SELECT seq FROM durable_events ORDER BY seq DESC LIMIT 1 OFFSET ?1",
                [(count - 1).min(i64::MAX as u64)],
                |row| row.get(0),
            )
            .optional()?
            .unwrap_or(trimmed),
    };
    Ok(position.clamp(trimmed, head))
}

/// Up to where events were deleted.
fn trimmed(connection: &Connection) -> Result<u64> {
    connection.query_row("SELECT trimmed FROM durable_log", [], |row| row.get(0))
}

/// Before this place events are older than `oldest`, or take more room than `size`; if both are
/// asked for, what is kept for either reason lies behind.
pub(crate) fn retention_cut(store: &Store, oldest: Option<u64>, size: Option<u64>) -> Result<u64> {
    let (from, to) = (store.trimmed, store.next_seq);
    let mut cut = to;
    if let Some(oldest) = oldest {
        cut = cut.min(first_written_at(&store.connection, from, to, oldest)?);
    }
    if let Some(size) = size {
        let used = store_size(&store.connection)?.0;
        let share = u128::from(used.saturating_sub(size)) * u128::from(to - from);
        cut = cut.min(from + (share / u128::from(used.max(1))) as u64);
    }
    Ok(cut)
}

/// The first event that was written at `millis` or later. Times rise with the places, but for a
/// clock that was set back.
fn first_written_at(connection: &Connection, from: u64, to: u64, millis: u64) -> Result<u64> {
    let mut select = connection.prepare_cached(
        "SELECT seq, written FROM durable_events WHERE seq >= ?1 ORDER BY seq LIMIT 1",
    )?;
    let (mut low, mut high) = (from, to);
    while low < high {
        let middle = low.midpoint(high);
        let found: Option<(u64, u64)> =
            select.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((seq, written)) if written < millis => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Writes what has changed for a consumer.
pub(crate) fn save(
    connection: &Connection,
    consumer: i64,
    position: u64,
    disabled: bool,
    changes: &Changes,
) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE durable_consumers SET position = ?2, disabled = ?3 WHERE consumer = ?1",
        )?
        .execute(params![consumer, position, disabled])?;
    let mut upsert = connection.prepare_cached(
        "INSERT INTO durable_deliveries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)
         ON CONFLICT DO UPDATE SET state = excluded.state, key = excluded.key,
             attempts = max(attempts, excluded.attempts), due = excluded.due,
             first_failed = coalesce(first_failed, excluded.first_failed),
             last_failed = coalesce(excluded.last_failed, last_failed),
             error = coalesce(excluded.error, error)",
    )?;
    for (seq, row) in &changes.rows {
        let (at, error) = row.failure.as_ref().map(|(at, error)| (*at, error)).unzip();
        let key = row.key.map(u64::cast_signed);
        upsert.execute(params![
            consumer,
            seq,
            row.state as i64,
            key,
            row.attempts,
            row.due,
            at,
            error
        ])?;
    }
    let mut delete = connection
        .prepare_cached("DELETE FROM durable_deliveries WHERE consumer = ?1 AND seq = ?2")?;
    for seq in &changes.settled_rows {
        delete.execute(params![consumer, seq])?;
    }
    let mut attempt = connection
        .prepare_cached("INSERT OR REPLACE INTO durable_attempts VALUES (?2, ?1, ?3, ?4, ?5)")?;
    for failed in &changes.attempts {
        attempt.execute(params![consumer, failed.seq, failed.attempt, failed.at, failed.error])?;
    }
    Ok(())
}

/// The events of a consumer that are due at `now`, the first first, until `take` wants no more;
/// when the next is due that was not taken.
pub(crate) fn due(
    connection: &Connection,
    consumer: i64,
    now: u64,
    mut take: impl FnMut(RawEvent) -> Take,
) -> Result<Option<u64>> {
    let mut select = connection.prepare_cached(
        "SELECT d.seq, e.written, d.attempts, d.key, e.event, d.due
         FROM durable_deliveries AS d JOIN durable_events AS e ON e.seq = d.seq
         WHERE d.consumer = ?1 AND d.state = 0 ORDER BY d.due, d.seq",
    )?;
    let mut found = select.query([consumer])?;
    while let Some(row) = found.next()? {
        let due: u64 = row.get(5)?;
        if due > now {
            return Ok(Some(due));
        }
        if take(raw(row)?) == Take::Enough {
            return Ok(Some(due));
        }
    }
    Ok(None)
}

/// What one who is shown events says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    More,
    /// This one is not taken, nor any after it.
    Enough,
}

/// The events behind the first of `key`, in order, until `take` has one.
pub(crate) fn of_key(
    connection: &Connection,
    consumer: i64,
    key: u64,
    mut take: impl FnMut(RawEvent) -> Take,
) -> Result<()> {
    let mut select = connection.prepare_cached(
        "SELECT d.seq, e.written, d.attempts, d.key, e.event
         FROM durable_deliveries AS d JOIN durable_events AS e ON e.seq = d.seq
         WHERE d.consumer = ?1 AND d.key = ?2 AND d.state = 1 ORDER BY d.seq",
    )?;
    let mut found = select.query(params![consumer, key.cast_signed()])?;
    while let Some(row) = found.next()? {
        if take(raw(row)?) == Take::Enough {
            break;
        }
    }
    Ok(())
}

fn raw(row: &rusqlite::Row<'_>) -> Result<RawEvent> {
    Ok(RawEvent {
        seq: row.get(0)?,
        written: row.get(1)?,
        attempts: row.get(2)?,
        key: row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned),
        text: Arc::from(bytes_of(row, 4)?),
    })
}

/// The first event of a consumer that has a row and is no dead letter.
pub(crate) fn first_set_aside(connection: &Connection, consumer: i64) -> Result<u64> {
    let first: Option<u64> = connection
        .prepare_cached(
            "SELECT min(seq) FROM durable_deliveries WHERE consumer = ?1 AND state < 2",
        )?
        .query_row([consumer], |row| row.get(0))?;
    Ok(first.unwrap_or(u64::MAX))
}

/// Has the events in this range delivered now that have no row yet: how many.
pub(crate) fn set_aside(connection: &Connection, consumer: i64, seqs: Range<u64>) -> Result<u64> {
    let count = connection.execute(
        "INSERT OR IGNORE INTO durable_deliveries (consumer, seq, state, attempts, due)
         SELECT ?1, seq, 0, 0, 0 FROM durable_events WHERE seq >= ?2 AND seq < ?3",
        params![consumer, seqs.start, seqs.end],
    )?;
    Ok(count as u64)
}

/// Where the consumer furthest behind stands; `None` without consumers.
pub(crate) fn lowest_position(connection: &Connection) -> Result<Option<u64>> {
    connection
        .prepare_cached("SELECT min(position) FROM durable_consumers")?
        .query_row([], |row| row.get(0))
}

/// Forgets a consumer and all it had. False if there is none of this name.
pub(crate) fn delete(connection: &Connection, name: &str) -> Result<bool> {
    let number: Option<i64> = connection
        .query_row("SELECT consumer FROM durable_consumers WHERE name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()?;
    let Some(number) = number else { return Ok(false) };
    for table in ["durable_deliveries", "durable_attempts", "durable_consumers"] {
        connection.execute(&format!("DELETE FROM {table} WHERE consumer = ?1"), [number])?;
    }
    Ok(true)
}

/// The consumers of this name, or all.
pub(crate) fn numbers(connection: &Connection, name: Option<&str>) -> Result<Vec<i64>> {
    let mut select = connection
        .prepare("SELECT consumer FROM durable_consumers WHERE ?1 IS NULL OR name = ?1")?;
    select.query_map([name], |row| row.get(0))?.collect()
}

impl RowState {
    /// As it stands in the table.
    pub(crate) const fn from_number(number: i64) -> Self {
        match number {
            0 => Self::Parked,
            1 => Self::Behind,
            _ => Self::Dead,
        }
    }
}
