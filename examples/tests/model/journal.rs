//! What crosses one place of a pipeline, in the order in which it did.
//!
//! Every component of a pipeline stands between two places: what it was told to take and what it
//! answered stand in the journal at its entry, what it wrote and was answered in those at its exits.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use events_core::{AsyncSink, Close, Closing, DeadLetter, ErrorKind, Sink, SinkError};
use parking_lot::Mutex;

use crate::event::{Event, Events};

/// The order of all that happens in a run: each look at it is later than the one before.
#[derive(Debug, Default)]
pub(crate) struct Time(AtomicU64);

impl Time {
    pub(crate) fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// One call of a sink.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) events: Vec<Event>,
    pub(crate) began: u64,
    /// When it was answered or given up, `u64::MAX` if it was neither.
    pub(crate) ended: u64,
    /// None if it was dropped or has panicked: then the event may be in or not.
    pub(crate) answer: Option<Result<(), SinkError>>,
}

/// What is known of one event in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken,
    Refused(ErrorKind),
    None,
}

impl Call {
    /// Each event with its answer: of a batch perhaps only some were refused.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (Event, Answer)> {
        let named = self.answer.as_ref().and_then(|answer| answer.as_ref().err());
        let named = named.map_or(&[][..], SinkError::failures);
        // Who names an event that was not there is believed nothing.
        let is_believed = !named.is_empty() && named.iter().all(|(at, _)| *at < self.events.len());
        self.events.iter().enumerate().map(move |(at, event)| {
            let answer = match &self.answer {
                None => Answer::None,
                Some(Ok(())) => Answer::Taken,
                Some(Err(_)) if is_believed => {
                    let refusal = named.iter().find(|(named, _)| *named == at);
                    refusal.map_or(Answer::Taken, |(_, error)| Answer::Refused(error.kind()))
                }
                Some(Err(error)) => Answer::Refused(error.kind()),
            };
            (*event, answer)
        })
    }
}

/// The calls that have crossed one place.
#[derive(Debug)]
pub(crate) struct Journal {
    time: Arc<Time>,
    calls: Mutex<Vec<Call>>,
    answered: AtomicU64,
}

impl Journal {
    pub(crate) fn new(time: &Arc<Time>) -> Arc<Self> {
        let answered = AtomicU64::new(0);
        Arc::new(Self { time: Arc::clone(time), calls: Mutex::default(), answered })
    }

    /// All of them, in the order in which they began.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// Whether one has not ended.
    pub(crate) fn is_under_way(&self) -> bool {
        self.answered() < self.calls.lock().len() as u64
    }

    /// How many have ended.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    fn begin(&self, events: &[Event]) -> Open<'_> {
        let mut calls = self.calls.lock();
        // Under the lock, so that they stand in the order of their times.
        let began = self.time.tick();
        calls.push(Call { events: events.to_vec(), began, ended: u64::MAX, answer: None });
        Open { journal: self, index: calls.len() - 1, answer: None }
    }
}

/// A call under way: if it is dropped without an answer, there was none.
struct Open<'a> {
    journal: &'a Journal,
    index: usize,
    answer: Option<Result<(), SinkError>>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut calls = self.journal.calls.lock();
        let call = &mut calls[self.index];
        call.answer = self.answer.take();
        call.ended = self.journal.time.tick();
        self.journal.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// A sink, and the journal of what crosses into it.
#[derive(Debug)]
pub(crate) struct Recorded<S> {
    pub(crate) inner: S,
    pub(crate) journal: Arc<Journal>,
}

impl<S> Recorded<S> {
    pub(crate) fn new(inner: S, time: &Arc<Time>) -> Self {
        Self { inner, journal: Journal::new(time) }
    }
}

impl<S: Close> Close for Recorded<S> {
    fn close(&self) -> Closing<'_> {
        self.inner.close()
    }

    fn abort(&self) {
        self.inner.abort();
    }
}

impl<E: ?Sized + Events, S: Sink<E>> Sink<E> for Recorded<S> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        let mut call = self.journal.begin(event.list());
        let result = self.inner.write(event);
        call.answer = Some(result.clone());
        result
    }
}

impl<E: ?Sized + Events, S: AsyncSink<E>> AsyncSink<E> for Recorded<S> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        let mut call = self.journal.begin(event.list());
        let result = self.inner.write(event).await;
        call.answer = Some(result.clone());
        result
    }
}

/// One dead letter.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) event: Event,
    pub(crate) kind: ErrorKind,
}

/// What a component hands on as not delivered. It may itself fail, which changes nothing.
#[derive(Debug, Default)]
pub(crate) struct Dead {
    letters: Mutex<Vec<Letter>>,
}

impl Dead {
    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.letters.lock().clone()
    }

    /// Whether it does not take the letter of this event, by an error or a panic.
    pub(crate) fn refuses(event: Event) -> bool {
        matches!(event.number % 16, 7 | 9)
    }
}

impl Close for Dead {}

impl Sink<DeadLetter<Event>> for Dead {
    fn write(&self, letter: &DeadLetter<Event>) -> Result<(), SinkError> {
        let (event, kind) = (letter.event, letter.error.kind());
        self.letters.lock().push(Letter { event, kind });
        match event.number % 16 {
            7 => Err(SinkError::unavailable("the dead letters are full")),
            9 => crate::fault::panic(),
            _ => Ok(()),
        }
    }
}
