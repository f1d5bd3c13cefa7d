//! Models for loom of what no timer starts in one: a closer that has lost patience.

use std::sync::{Mutex, PoisonError};

use loom::thread;

use super::*;
use crate::{
    closing::Closing,
    engine::{
        deliver::Each,
        worker::{Linger, Worker},
    },
    runtime::park::block_on,
    sink::AsyncSink,
};

/// What it got. Its lock is a real one, since it is never held while threads meet.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<u64>>);

impl Seen {
    fn see(&self, event: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    fn events(&self) -> Vec<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Close for Seen {
    fn close(&self) -> Closing<'_> {
        Closing::done()
    }
}

/// Refuses odd events.
impl AsyncSink<u64> for Seen {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        self.see(*event);
        if event.is_multiple_of(2) { Ok(()) } else { Err(SinkError::rejected("odd")) }
    }
}

impl Sink<DeadLetter<u64>> for Seen {
    fn write(&self, letter: &DeadLetter<u64>) -> Result<(), SinkError> {
        self.see(letter.event);
        Ok(())
    }
}

#[test]
fn a_closer_takes_over_from_a_worker_that_delivers_after_all() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(4));
    builder.check(|| {
        let [sink, dead] = [Arc::new(Seen::default()), Arc::new(Seen::default())];
        let feed = Arc::new(Feed::with_chunks(2));
        let ends = Arc::new(Mutex::new(0));
        let ended = Arc::clone(&ends);
        let count_end = move |_: &Result<_, _>| *ended.lock().unwrap() += 1;
        let parts = AccountConfig {
            sink: Arc::clone(&sink) as _,
            dead_letter: Some(Arc::clone(&dead) as _),
            name: Arc::from("model"),
            owns_feed: true,
            driven_by_future: true,
            span: 1,
            disconnect: false,
            cursor: Arc::new(Cursor::new(0, None)),
            on_end: Some(Box::new(count_end)),
            on_abort: None,
        };
        let deliver = Each(Arc::clone(&sink));
        let (account, worker) = Worker::new(feed.reader(None), deliver, Linger::NONE, parts);
        for event in 0..3 {
            feed.push(event).unwrap();
        }
        let worker = thread::spawn(|| block_on(worker.run()));
        account.abort();
        account.give_up_rest("it takes too long");
        account.finish(None);
        worker.join().unwrap();
        assert_eq!(*ends.lock().unwrap(), 1);

        let stats = account.stats();
        assert_eq!(stats.pending, 0, "{stats:?}");
        assert_eq!(stats.dropped.overflow, 0, "{stats:?}");
        assert_eq!(stats.delivered + stats.failed + stats.dropped.abandoned, 3, "{stats:?}");
        // Each event that is not said to be delivered is handed on, once.
        let (seen, mut dead) = (sink.events(), dead.events());
        assert_eq!(dead.len() as u64, stats.failed + stats.dropped.abandoned, "{dead:?} {stats:?}");
        dead.sort_unstable();
        dead.dedup();
        assert_eq!(dead.len() as u64, stats.failed + stats.dropped.abandoned, "{dead:?} {stats:?}");
        // The one that was in the sink's hands may be both.
        assert!(seen.len() + dead.len() >= 3, "{seen:?} {dead:?}");
    });
}
