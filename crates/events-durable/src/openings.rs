use rusqlite::{Connection, Result, params};

use crate::event_id::EventId;

/// The random numbers that are the first halves of events' ids, each with the first event that it
/// was given to.
///
/// Every opening of a file draws a new one, so that a file and a copy of it, both written to, never
/// give the same id to different events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Openings(Vec<(u64, u64)>);

impl Openings {
    pub(crate) fn load(connection: &Connection) -> Result<Self> {
        let mut select =
            connection.prepare("SELECT first, id FROM durable_openings ORDER BY first")?;
        let rows = select.query_map([], |row| {
            let (first, id): (u64, String) = (row.get(0)?, row.get(1)?);
            let number = u64::from_str_radix(&id, 16).map_err(|error| {
                let text = rusqlite::types::Type::Text;
                rusqlite::Error::FromSqlConversionFailure(1, text, Box::new(error))
            })?;
            Ok((first, number))
        })?;
        Ok(Self(rows.collect::<Result<_>>()?))
    }

    /// Draws a number for the events from `next` on. The file learns of it with the first of them:
    /// opening it needs no room on the disk.
    pub(crate) fn begin(connection: &Connection, next: u64) -> Result<Self> {
        let mut openings = Self::load(connection)?;
        let number: i64 = connection.query_row("SELECT random()", [], |row| row.get(0))?;
        openings.0.push((next, number.cast_unsigned()));
        Ok(openings)
    }

    /// Has the file know the newest number, and forget those that no event can have: all before
    /// `oldest` are gone.
    pub(crate) fn save(&self, connection: &Connection, oldest: u64) -> Result<()> {
        connection.execute(
            "DELETE FROM durable_openings WHERE first < (
                 SELECT max(first) FROM durable_openings WHERE first <= ?1)",
            [oldest],
        )?;
        if let Some((first, number)) = self.0.last() {
            let id = format!("{number:016x}");
            connection.execute(
                "INSERT OR REPLACE INTO durable_openings VALUES (?1, ?2)",
                params![first, id],
            )?;
        }
        Ok(())
    }

    /// The id of the event at `seq`.
    pub(crate) fn id(&self, seq: u64) -> EventId {
        let after = self.0.partition_point(|(first, _)| *first <= seq);
        let file = after.checked_sub(1).map_or(0, |at| self.0[at].1);
        EventId::new(file, seq)
    }

    /// The place of the event with this id, if it is one of this file.
    pub(crate) fn seq(&self, id: EventId) -> Option<u64> {
        (self.id(id.number()) == id).then_some(id.number())
    }
}
