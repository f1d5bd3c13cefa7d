//! What several tests need.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
};

use events_core::{Close, Closing, Sink, SinkError};
use events_durable::{DurableQueue, Stored};
use parking_lot::Mutex;
use rusqlite::Connection;
use tempfile::TempDir;

/// A directory for one file, gone at the end of the test.
pub(crate) struct Place {
    _dir: TempDir,
    pub(crate) path: PathBuf,
}

pub(crate) fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.db");
    Place { _dir: dir, path }
}

impl Place {
    /// The file, for a test that plays somebody else.
    pub(crate) fn tamper(&self, sql: &str) {
        Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }

    pub(crate) fn ask<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        let connection = Connection::open(&self.path).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

/// A queue of numbers at this place.
pub(crate) fn queue(place: &Place, sink: impl Sink<Stored<u64>> + 'static) -> DurableQueue<u64> {
    DurableQueue::spawn(sink, &place.path).unwrap()
}

/// Keeps the events it is given, with their ids.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    events: Arc<Mutex<Vec<(String, u64)>>>,
}

impl Kept {
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.events.lock().iter().map(|(_, number)| *number).collect()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.events.lock().iter().map(|(id, _)| id.clone()).collect()
    }
}

impl Close for Kept {}

impl Sink<Stored<u64>> for Kept {
    fn write(&self, event: &Stored<u64>) -> Result<(), SinkError> {
        self.events.lock().push((event.id().to_string(), **event));
        Ok(())
    }
}

impl Sink<[Stored<u64>]> for Kept {
    fn write(&self, events: &[Stored<u64>]) -> Result<(), SinkError> {
        events.iter().try_for_each(|event| self.write(event))
    }
}

/// Tells which event it was given, and holds it until it is told what to answer. Aborted, it
/// answers `Unavailable`.
pub(crate) struct Held {
    given: mpsc::Sender<u64>,
    answers: Mutex<mpsc::Receiver<Result<(), SinkError>>>,
    answer: Mutex<Option<mpsc::Sender<Result<(), SinkError>>>>,
}

/// The other side of a [`Held`].
pub(crate) struct Holder {
    pub(crate) given: mpsc::Receiver<u64>,
    pub(crate) answer: mpsc::Sender<Result<(), SinkError>>,
}

pub(crate) fn held() -> (Held, Holder) {
    let (give, given) = mpsc::channel();
    let (answer, answers) = mpsc::channel();
    let for_abort = Mutex::new(Some(answer.clone()));
    (
        Held { given: give, answers: Mutex::new(answers), answer: for_abort },
        Holder { given, answer },
    )
}

impl Close for Held {
    fn close(&self) -> Closing<'_> {
        Closing::done()
    }

    fn abort(&self) {
        let answer = self.answer.lock().take();
        drop(answer.map(|answer| answer.send(Err(SinkError::unavailable("aborted")))));
    }
}

impl Sink<Stored<u64>> for Held {
    fn write(&self, event: &Stored<u64>) -> Result<(), SinkError> {
        let _ = self.given.send(**event);
        self.answers.lock().recv().unwrap_or_else(|_| Err(SinkError::unavailable("aborted")))
    }
}
