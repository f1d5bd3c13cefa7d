use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    destination::Destination,
    kit::{Kit, Outcome},
};
use crate::sink::Close;

/// Each writer's events carry numbers of its own, from a multiple of this on.
pub(super) const WRITER: u64 = 1 << 32;

/// One fresh sink, with a record of what it said to each event.
pub(super) struct Trial<S> {
    pub(super) sink: S,
    kit: Arc<Kit<S>>,
    destination: Destination,
    answers: Mutex<HashMap<u64, Outcome>>,
}

impl<S: Close> Trial<S> {
    pub(super) fn new(kit: Arc<Kit<S>>) -> Self {
        let destination = Destination::default();
        let sink = (kit.make)(&destination);
        Self { sink, kit, destination, answers: Mutex::default() }
    }

    /// The destination, if the sink hands on to it.
    pub(super) fn destination(&self) -> Option<&Destination> {
        self.kit.hands_on.then_some(&self.destination)
    }

    /// Writes event `number`, once.
    pub(super) fn write(&self, number: u64) -> Outcome {
        let answer = (self.kit.write)(&self.sink, number, &*self.kit.drive);
        self.answers.lock().insert(number, answer.clone());
        answer
    }

    /// Begins to write event `number` and drops the write if it does not end at once. False where
    /// that is not possible.
    pub(super) fn write_and_drop(&self, number: u64) -> bool {
        let Some(write) = &self.kit.write_and_drop else { return false };
        if write(&self.sink, number, &*self.kit.drive).is_ok() {
            self.answers.lock().insert(number, Ok(()));
        }
        true
    }

    /// Closes, and waits as threads do.
    pub(super) fn close(&self) -> Outcome {
        self.sink.close().wait()
    }

    /// Closes, and waits as tasks do.
    pub(super) fn close_awaited(&self) -> Outcome {
        (self.kit.drive)(pin!(self.sink.close()))
    }

    /// What has been committed, if there is a way to know.
    fn committed(&self) -> Option<Vec<u64>> {
        if let Some(observe) = &self.kit.observe {
            return Some(observe(&self.sink));
        }
        self.destination().map(Destination::kept)
    }

    /// The events that were accepted so far.
    pub(super) fn accepted(&self) -> Vec<u64> {
        let answers = self.answers.lock();
        answers.iter().filter(|(_, answer)| answer.is_ok()).map(|(number, _)| *number).collect()
    }

    /// `numbers`, all accepted, have been committed by now.
    pub(super) fn assert_committed(&self, numbers: &[u64]) {
        let Some(committed) = self.committed() else { return };
        if self.kit.lossy {
            return;
        }
        let committed: HashSet<_> = committed.into_iter().collect();
        let missing: Vec<_> = numbers.iter().filter(|number| !committed.contains(number)).collect();
        assert!(missing.is_empty(), "the accepted events {missing:?} are missing");
    }

    /// All the accepted events have been committed, once and, unless told otherwise, in order, and no
    /// others were.
    pub(super) fn assert_account(&self) {
        let Some(committed) = self.committed() else { return };
        self.assert_committed(&self.accepted());
        let mut last: HashMap<u64, u64> = HashMap::new();
        let mut seen: HashMap<u64, usize> = HashMap::new();
        for &number in &committed {
            *seen.entry(number).or_default() += 1;
            assert_eq!(seen[&number], 1, "event {number} was committed more than once");
            let refused = self.answers.lock().get(&number).and_then(|answer| answer.clone().err());
            assert!(refused.is_none(), "event {number} was committed after all: {refused:?}");
            let before = last.insert(number / WRITER, number);
            assert!(
                self.kit.unordered || before.is_none_or(|before| before < number),
                "event {number} came after event {before:?} of the same writer"
            );
        }
    }
}
