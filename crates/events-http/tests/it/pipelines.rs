//! The sink where it belongs: inside others, which choose between threads and tasks.

use std::time::Duration;

use events_core::{AsyncSink, Close, Closing, Event, Sink, SinkError};
use events_http::HttpSink;
use events_queue::Queue;

use crate::{
    receiver::{Receiver, answer},
    worlds,
};

/// A wrapper as the family has them: one struct, a bound on the inner sink for each world.
struct Wrapper<S>(S);

impl<S: Close> Close for Wrapper<S> {
    fn close(&self) -> Closing<'_> {
        self.0.close()
    }

    fn abort(&self) {
        self.0.abort();
    }
}

impl<E: ?Sized + Event, S: Sink<E>> Sink<E> for Wrapper<S> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        self.0.write(event)
    }
}

impl<E: ?Sized + Event, S: AsyncSink<E>> AsyncSink<E> for Wrapper<S> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        self.0.write(event).await
    }
}

#[test]
fn behind_a_queue_with_a_thread() {
    let receiver = Receiver::always(answer(200, "", b""));
    let queue = Queue::spawn(Wrapper(HttpSink::new(receiver.url()).unwrap()));
    Sink::write(&queue, &"event".to_owned()).unwrap();
    queue.close().wait().unwrap();
    assert_eq!(receiver.next().body, b"\"event\"");
    assert_eq!(queue.stats().delivered, 1);
}

#[test]
fn behind_a_queue_with_a_thread_that_a_task_writes_to() {
    let receiver = Receiver::always(answer(200, "", b""));
    worlds::runtime().block_on(async {
        let queue = Queue::spawn(Wrapper(HttpSink::new(receiver.url()).unwrap()));
        AsyncSink::write(&queue, &"event".to_owned()).await.unwrap();
        queue.close().await.unwrap();
        assert_eq!(queue.stats().delivered, 1);
    });
}

#[test]
fn behind_a_queue_with_a_task() {
    let receiver = Receiver::always(answer(200, "", b""));
    worlds::runtime().block_on(async {
        let queue = Queue::spawn_tokio(Wrapper(HttpSink::new(receiver.url()).unwrap()));
        AsyncSink::write(&queue, &"event".to_owned()).await.unwrap();
        queue.close().await.unwrap();
    });
    assert_eq!(receiver.next().body, b"\"event\"");
}

#[test]
fn a_batch_is_one_request() {
    let receiver = Receiver::always(answer(200, "", b""));
    let hook = Wrapper(HttpSink::new(receiver.url()).unwrap());
    let queue = Queue::builder().batch(3, Duration::from_hours(1)).spawn(hook).unwrap();
    for event in 0..5 {
        Sink::write(&queue, &event).unwrap();
    }
    queue.close().wait().unwrap();
    assert_eq!(receiver.next().body, b"[0,1,2]");
    assert_eq!(receiver.next().body, b"[3,4]");
}

#[test]
fn a_sink_that_anyone_may_hold() {
    fn is_sink<S: Sink<str> + AsyncSink<str> + Send + Sync + std::fmt::Debug + 'static>() {}
    is_sink::<HttpSink>();
    let sink: Box<dyn Sink<[u64]>> = Box::new(HttpSink::new("http://localhost").unwrap());
    sink.close().wait().unwrap();
}
