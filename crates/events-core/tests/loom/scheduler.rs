//! Several deliverers over one backlog: whatever meets, nobody sleeps on what there is to do.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use events_core::{
    AsyncSink, Close, Closing, SinkError,
    engine::{
        Account, AccountConfig, Cursor, Deliverer, Each, Policy, Rules,
        feed::{Feed, Refused},
        park::block_on,
        schedule,
    },
};
use loom::thread::{self, JoinHandle};

use crate::check;

/// What it got, after it has waited once for each. Its lock is a real one, since it is never held
/// while threads meet.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<u64>>);

impl Close for Seen {
    fn close(&self) -> Closing<'_> {
        Closing::done()
    }
}

impl AsyncSink<u64> for Seen {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        let mut waits = *event == 0;
        poll_fn(|cx| {
            if !std::mem::take(&mut waits) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(*event);
        Ok(())
    }
}

struct Model {
    feed: Arc<Feed<u64>>,
    sink: Arc<Seen>,
    account: Arc<Account<u64>>,
    deliverers: Vec<Deliverer<u64, Each<Arc<Seen>>>>,
}

impl Model {
    /// Two deliverers, on threads or in tasks, with events ordered by one key or not.
    fn new(capacity: Option<u64>, blocks: bool, is_ordered: bool) -> Self {
        let sink = Arc::new(Seen::default());
        let cursor = Arc::new(Cursor::new(0, None));
        let mut feed = Feed::with_chunks(2);
        if let Some(capacity) = capacity {
            feed = feed.bounded(capacity, Arc::clone(&cursor));
        }
        let feed = Arc::new(feed);
        let parts = AccountConfig {
            sink: Arc::clone(&sink) as _,
            dead_letter: None,
            name: Arc::from("model"),
            owns_feed: true,
            driven_by_future: !blocks,
            span: 1,
            disconnect: false,
            cursor,
            on_end: None,
            on_abort: None,
        };
        let policy = Policy {
            most: 1,
            linger: (1, Duration::ZERO),
            blocks,
            circuit: None,
            disable_after: None,
        };
        let key = is_ordered.then(|| Arc::new(|_: &u64| 0_u64) as _);
        let rules = Rules { key, schedule: None };
        let reader = feed.reader(None);
        let (account, deliverers) =
            schedule(reader, &Each(Arc::clone(&sink)), 2, policy, &rules, parts);
        Self { feed, sink, account, deliverers }
    }

    fn start(&mut self) -> Vec<JoinHandle<()>> {
        let run = |deliverer: Deliverer<_, _>| thread::spawn(move || block_on(deliverer.run()));
        std::mem::take(&mut self.deliverers).into_iter().map(run).collect()
    }

    fn end(self, threads: Vec<JoinHandle<()>>, events: u64, is_ordered: bool) {
        block_on(self.account.close()).unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let mut seen = self.sink.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(!is_ordered || seen.is_sorted(), "{seen:?}");
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..events));
        assert_eq!(self.account.stats().delivered, events);
    }
}

#[test]
fn a_flush_ends_once_all_before_it_is_settled() {
    check(1, || {
        let mut model = Model::new(None, true, true);
        model.feed.push(0).unwrap();
        model.feed.push(1).unwrap();
        let threads = model.start();
        block_on(model.account.flush()).unwrap();
        assert_eq!(model.account.stats().pending, 0);
        model.end(threads, 2, true);
    });
}

#[test]
fn a_writer_that_waits_for_room_gets_it() {
    check(1, || {
        let mut model = Model::new(Some(1), false, false);
        model.feed.push(0).unwrap();
        let threads = model.start();
        if let Err(Refused::Full(event)) = model.feed.push(1) {
            let mut ticket = model.feed.wait_for_room(event).unwrap();
            block_on(poll_fn(|cx| ticket.poll_admitted(cx))).unwrap();
        }
        model.end(threads, 2, false);
    });
}
