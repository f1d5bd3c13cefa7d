//! Several deliverers to one sink: one close, whoever waits for it.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
};

use events_core::{AsyncSink, Close, Closing, ErrorKind, SinkError, engine::park::block_on};
use events_queue::Queue;
use loom::{sync::Mutex, thread};

use crate::support::{assert_settled, check};

/// Its close begins at once and ends when somebody says so.
#[derive(Default)]
struct Slow(Mutex<State>);

#[derive(Default)]
struct State {
    begun: usize,
    ended: bool,
    waits: Option<Waker>,
}

impl Slow {
    fn end(&self) {
        let mut state = self.0.lock().unwrap();
        state.ended = true;
        let waits = state.waits.take();
        drop(state);
        waits.into_iter().for_each(Waker::wake);
    }
}

impl Close for Slow {
    fn close(&self) -> Closing<'_> {
        self.0.lock().unwrap().begun += 1;
        Closing::new(poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            if state.ended {
                return Poll::Ready(Err(SinkError::unavailable("it was slow")));
            }
            state.waits = Some(cx.waker().clone());
            Poll::Pending
        }))
    }
}

impl AsyncSink<u64> for Slow {
    async fn write(&self, _event: &u64) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn closers_and_a_slow_close_meet() {
    check(2, || {
        let sink = Arc::new(Slow::default());
        let (queue, worker) = Queue::builder().concurrency(2).pair(Arc::clone(&sink)).unwrap();
        let worker = thread::spawn(|| block_on(worker));
        let other = queue.clone();
        let closer = thread::spawn(move || other.close().wait().map_err(|error| error.kind()));
        sink.end();
        let result = queue.close().wait().map_err(|error| error.kind());
        assert_eq!(result, Err(ErrorKind::Unavailable));
        assert_eq!(closer.join().unwrap(), result);
        worker.join().unwrap();
        assert_eq!(sink.0.lock().unwrap().begun, 1);
        assert_settled(queue.stats());
    });
}
