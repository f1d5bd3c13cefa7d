//! Bringing files of older versions up to date.

use rusqlite::{Connection, Result};

use crate::tables::{QUEUE, TABLES};

/// Version 1 had one queue in a file: `events` held what waited, under a place of its own if it had
/// been put back after it was a dead letter, `dead` what had failed, and `spool` the file's random
/// number.
///
/// The queue becomes the one consumer of a log. What is or was a dead letter goes back to the place
/// that it was written at, which nothing else has taken since, and which lies before all that was
/// never delivered: the queue delivered in order.
pub(crate) fn from_version_1(connection: &Connection) -> Result<()> {
    connection.execute_batch(
        "ALTER TABLE events RENAME TO old_events;
         ALTER TABLE dead RENAME TO old_dead;
         ALTER TABLE spool RENAME TO old_spool;",
    )?;
    connection.execute_batch(TABLES)?;
    connection.execute_batch(
        "INSERT INTO durable_openings SELECT 0, id FROM old_spool;
         INSERT INTO durable_events
             SELECT id, written, event FROM old_events
             UNION ALL SELECT id, written, event FROM old_dead;
         UPDATE durable_log SET
             last = (SELECT max(last, coalesce((SELECT max(seq) FROM old_events), 0))
                     FROM old_spool);
         UPDATE durable_log SET
             trimmed = coalesce((SELECT min(seq) FROM old_events WHERE seq = id), last + 1);
         INSERT INTO durable_deliveries
             SELECT 1, id, 2, NULL, attempts, 0, first_failed, last_failed, error FROM old_dead;
         INSERT INTO durable_deliveries
             SELECT 1, id, 0, NULL, attempts, 0, first_failed, first_failed, NULL
             FROM old_events WHERE seq != id;",
    )?;
    connection.execute(
        "INSERT INTO durable_consumers (consumer, name, position) SELECT 1, ?1, trimmed FROM durable_log",
        [QUEUE],
    )?;
    connection.execute_batch("DROP TABLE old_events; DROP TABLE old_dead; DROP TABLE old_spool;")
}
