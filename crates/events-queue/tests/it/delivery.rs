//! What becomes of events that the sink does not take, and of a sink that panics.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use events_core::{Close, ErrorKind, Memory, Sink, SinkError};
use events_queue::{DeadLetter, Queue};

use crate::support::{Script, assert_stats, assert_undelivered, in_time};

fn events(dead: &Memory<DeadLetter<u64>>) -> Vec<u64> {
    dead.take().iter().map(|letter| letter.event).collect()
}

#[test]
fn each_refused_event_is_a_dead_letter_once_with_its_error() {
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let script = Script::answering(|event| match event % 3 {
        0 => Ok(()),
        1 => Err(SinkError::rejected("malformed")),
        _ => Err(SinkError::unavailable("503")),
    });
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(script.clone()).unwrap();
    for event in 0..300 {
        Sink::write(&queue, &event).unwrap();
    }
    queue.close().wait().unwrap();
    assert_stats(&queue, [300, 100, 200, 0, 0, 0]);
    let letters = dead.take();
    let expected: Vec<_> = (0..300).filter(|event| event % 3 != 0).collect();
    assert_eq!(letters.iter().map(|letter| letter.event).collect::<Vec<_>>(), expected);
    for DeadLetter { event, error, .. } in letters {
        let kind = if event % 3 == 1 { ErrorKind::Rejected } else { ErrorKind::Unavailable };
        assert_eq!(error.kind(), kind);
    }
    // Several may share it, so it stays open.
    let letter = DeadLetter::new(0, SinkError::closed());
    Sink::write(&*dead, &letter).unwrap();
    assert_eq!(script.closes(), 1);
}

#[test]
fn a_flush_waits_for_the_dead_letters_too() {
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let script = Script::answering(|_| Err(SinkError::rejected("malformed")));
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(script).unwrap();
    for event in 0..100 {
        Sink::write(&queue, &event).unwrap();
        queue.flush().wait().unwrap();
        assert_eq!(events(&dead), [event]);
    }
}

#[test]
fn seed_09_a_panicking_sink_fails_that_event_and_the_next_goes_on() {
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let script = Script::answering(|event| {
        assert_ne!(event, 1, "a panic on purpose");
        Ok(())
    });
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(script.clone()).unwrap();
    for event in 0..4 {
        Sink::write(&queue, &event).unwrap();
    }
    queue.close().wait().unwrap();
    assert_eq!(script.delivered(), [0, 2, 3]);
    assert_stats(&queue, [4, 3, 1, 0, 0, 0]);
    let letters = dead.take();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].event, letters[0].error.kind()), (1, ErrorKind::Rejected));
}

#[test]
fn a_dead_letter_that_panics_or_refuses_harms_nobody() {
    let offered = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&offered);
    let dead = LetterFn(move |letter: &DeadLetter<u64>| {
        count.fetch_add(1, Ordering::SeqCst);
        assert_ne!(letter.event % 2, 0, "a panic on purpose");
        Err(SinkError::full())
    });
    let script =
        Script::answering(|event| if event == 9 { Ok(()) } else { Err(SinkError::full()) });
    let queue = Queue::builder().dead_letter(dead).spawn(script.clone()).unwrap();
    for event in 0..10 {
        Sink::write(&queue, &event).unwrap();
    }
    let queue = in_time(move || {
        assert_undelivered(queue.close().wait(), 9);
        queue
    });
    assert_eq!(offered.load(Ordering::SeqCst), 9);
    assert_eq!(script.delivered(), [9]);
    assert_stats(&queue, [10, 1, 9, 0, 0, 0]);
}

struct LetterFn<F>(F);

impl<F: Send + Sync> Close for LetterFn<F> {}

impl<F> Sink<DeadLetter<u64>> for LetterFn<F>
where
    F: Fn(&DeadLetter<u64>) -> Result<(), SinkError> + Send + Sync,
{
    fn write(&self, letter: &DeadLetter<u64>) -> Result<(), SinkError> {
        (self.0)(letter)
    }
}

#[test]
fn a_dead_letter_may_look_at_its_queue_and_may_not_wait_for_it() {
    let (give, given) = std::sync::mpsc::channel::<Queue<u64>>();
    let (tell, told) = std::sync::mpsc::channel();
    let given = parking_lot::Mutex::new(given);
    let dead = LetterFn(move |_: &DeadLetter<u64>| {
        let queue = given.lock().recv_timeout(crate::support::HANG).unwrap();
        tell.send((queue.stats(), queue.flush().wait(), queue.close().wait())).unwrap();
        Ok(())
    });
    let script = Script::answering(|_| Err(SinkError::rejected("malformed")));
    let queue = Queue::builder().dead_letter(dead).spawn(script).unwrap();
    Sink::write(&queue, &0).unwrap();
    give.send(queue.clone()).unwrap();
    let (stats, flush, close) = told.recv_timeout(crate::support::HANG).unwrap();
    assert_eq!((stats.failed, stats.pending), (1, 0));
    crate::support::assert_kind(flush, ErrorKind::WouldDeadlock);
    crate::support::assert_kind(close, ErrorKind::WouldDeadlock);
    in_time(move || queue.close().wait()).unwrap();
}

/// An event that panics when it is copied after the write.
#[derive(Debug)]
struct Fragile(Arc<AtomicU64>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        let copies = self.0.fetch_add(1, Ordering::SeqCst);
        assert_eq!(copies, 0, "a panic on purpose");
        Self(Arc::clone(&self.0))
    }
}

#[test]
fn an_event_that_panics_when_it_is_copied_is_counted_once() {
    let dead = Arc::new(Memory::<DeadLetter<Fragile>>::new());
    let queue = Queue::builder().dead_letter(dead).spawn(Refuse).unwrap();
    Sink::write(&queue, &Fragile(Arc::default())).unwrap();
    Sink::write(&queue, &Fragile(Arc::default())).unwrap();
    let queue = in_time(move || {
        assert_undelivered(queue.close().wait(), 2);
        queue
    });
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.failed, stats.pending), (2, 2, 0));
}

struct Refuse;

impl Close for Refuse {}

impl Sink<Fragile> for Refuse {
    fn write(&self, _event: &Fragile) -> Result<(), SinkError> {
        Err(SinkError::rejected("malformed"))
    }
}

#[test]
fn an_idle_queue_holds_no_event() {
    let token = Arc::new(());
    let queue = Queue::spawn(events_core::Discard::new());
    for _ in 0..10 {
        Sink::write(&queue, &token).unwrap();
    }
    queue.flush().wait().unwrap();
    crate::support::until(|| Arc::strong_count(&token) == 1);
}
