//! Dead letters, put back and thrown away, in SQL.

use rusqlite::{Connection, Result, params};

use crate::{dead_letters::Which, openings::Openings, stored::now};

/// Puts dead letters of a consumer back, to be delivered now: how many.
pub(crate) fn replay(
    connection: &Connection,
    openings: &Openings,
    consumer: i64,
    which: &Which,
) -> Result<u64> {
    let sql = "UPDATE durable_deliveries SET state = 0, due = ?2 WHERE consumer = ?1 AND state = 2";
    change(connection, openings, consumer, which, sql)
}

/// Throws dead letters of a consumer away: how many.
pub(crate) fn purge(
    connection: &Connection,
    openings: &Openings,
    consumer: i64,
    which: &Which,
) -> Result<u64> {
    let sql = "DELETE FROM durable_deliveries WHERE ?2 = ?2 AND consumer = ?1 AND state = 2";
    change(connection, openings, consumer, which, sql)
}

fn change(
    connection: &Connection,
    openings: &Openings,
    consumer: i64,
    which: &Which,
    sql: &str,
) -> Result<u64> {
    let now = now();
    let mut count = 0;
    match which {
        Which::All => count += connection.execute(sql, params![consumer, now])?,
        Which::Ids(ids) => {
            let mut one = connection.prepare(&format!("{sql} AND seq = ?3"))?;
            for seq in ids.iter().filter_map(|id| openings.seq(*id)) {
                count += one.execute(params![consumer, now, seq])?;
            }
        }
    }
    Ok(count as u64)
}

/// Deletes the events before `trimmed` that nothing refers to any more.
pub(crate) fn sweep(connection: &Connection, trimmed: u64) -> Result<()> {
    connection.execute(
        "DELETE FROM durable_events WHERE seq < ?1
         AND NOT EXISTS (SELECT 1 FROM durable_deliveries WHERE durable_deliveries.seq = durable_events.seq)",
        [trimmed],
    )?;
    connection.execute(
        "DELETE FROM durable_attempts WHERE seq < ?1
         AND NOT EXISTS (SELECT 1 FROM durable_events WHERE durable_events.seq = durable_attempts.seq)",
        [trimmed],
    )?;
    Ok(())
}
