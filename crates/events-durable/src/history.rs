//! What became of single events: see [`DurableLog::history`](crate::DurableLog::history).

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::{consumer_state::changes::RowState, event_id::EventId, stored::system_time};

/// What became of one event: see [`DurableLog::history`](crate::DurableLog::history).
///
/// What the disk does not know yet, a few milliseconds' worth, is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// The event's name.
    pub id: EventId,
    /// When it was written.
    pub written: SystemTime,
    /// What became of it at each consumer that the file knows.
    pub consumers: Vec<Standing>,
}

/// What became of an event at one consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The consumer's name.
    pub consumer: String,
    /// Where the event stands.
    pub state: State,
    /// The attempts that failed, in order: those that count for a
    /// [redelivery](crate::ConsumerBuilder::redeliver), and those that made it a dead letter.
    pub attempts: Vec<Attempt>,
}

/// Where an event stands at a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It has yet to be delivered.
    Waiting,
    /// It is delivered again at this time.
    Parked {
        /// When.
        due: SystemTime,
    },
    /// It waits behind another of its key that is parked.
    Behind,
    /// It is a dead letter.
    Dead,
    /// It was delivered, or dropped, or the consumer began behind it.
    Settled,
}

/// One attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Which it was, from 1 on.
    pub number: u32,
    /// When it failed.
    pub at: SystemTime,
    /// Why: the error and what is behind it, in one line.
    pub error: String,
}

impl History {
    pub(crate) fn load(connection: &Connection, id: EventId, seq: u64) -> Result<Option<Self>> {
        let written: Option<u64> = connection
            .query_row("SELECT written FROM durable_events WHERE seq = ?1", [seq], |row| row.get(0))
            .optional()?;
        let Some(written) = written else { return Ok(None) };
        let mut select = connection.prepare(
            "SELECT c.consumer, c.name, c.position, d.state, d.due
             FROM durable_consumers AS c
             LEFT JOIN durable_deliveries AS d ON d.consumer = c.consumer AND d.seq = ?1
             ORDER BY c.consumer",
        )?;
        let found = select.query_map([seq], |row| {
            let (number, consumer, position): (i64, String, u64) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let state = match row.get::<_, Option<i64>>(3)?.map(RowState::from_number) {
                Some(RowState::Parked) => State::Parked { due: system_time(row.get(4)?) },
                Some(RowState::Behind) => State::Behind,
                Some(RowState::Dead) => State::Dead,
                None if position > seq => State::Settled,
                None => State::Waiting,
            };
            Ok((number, consumer, state))
        })?;
        let consumers = found.map(|found| {
            let (number, consumer, state) = found?;
            Ok(Standing { consumer, state, attempts: attempts(connection, number, seq)? })
        });
        let consumers = consumers.collect::<Result<_>>()?;
        Ok(Some(Self { id, written: system_time(written), consumers }))
    }
}

fn attempts(connection: &Connection, consumer: i64, seq: u64) -> Result<Vec<Attempt>> {
    let mut select = connection.prepare_cached(
        "SELECT attempt, at, error FROM durable_attempts WHERE consumer = ?1 AND seq = ?2
         ORDER BY attempt",
    )?;
    let attempts = select.query_map(params![consumer, seq], |row| {
        Ok(Attempt { number: row.get(0)?, at: system_time(row.get(1)?), error: row.get(2)? })
    })?;
    attempts.collect()
}
