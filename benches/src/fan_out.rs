//! Broadcasts: every event reaches every subscriber, each with a worker or a share in one.

use std::{sync::Arc, thread};

use events_broadcast::Broadcaster;
use events_core::{AsyncSink, Close, Sink};
use events_queue::Queue;
use tokio::{
    sync::{broadcast, mpsc},
    task::JoinHandle,
};

use crate::Event;

/// One writer, many sinks.
pub trait FanOut: Send + Sync + 'static {
    /// Who it is.
    const PEER: &'static str;

    /// One that loses nothing of so many events.
    fn new(events: usize) -> Self;

    /// Adds a subscriber, inside a runtime.
    fn add<S: Sink<Event> + AsyncSink<Event> + 'static>(&mut self, sink: Arc<S>);

    /// Hands `event` to all of them.
    fn write(&self, event: &Event) -> impl Future<Output = ()> + Send;

    /// Ends once all have got everything.
    fn close(self) -> impl Future<Output = ()> + Send;
}

fn give(sink: &impl Sink<Event>, event: &Event) {
    sink.write(event).expect("the sink takes everything");
}

async fn join(workers: Vec<JoinHandle<()>>) {
    for worker in workers {
        worker.await.expect("ends well");
    }
}

/// [`Broadcaster::spawn_tokio`].
#[derive(Debug)]
pub struct InTasks(Broadcaster<Event>);

impl FanOut for InTasks {
    const PEER: &'static str = "events";

    fn new(_events: usize) -> Self {
        Self(Broadcaster::new())
    }

    fn add<S: Sink<Event> + AsyncSink<Event> + 'static>(&mut self, sink: Arc<S>) {
        self.0.spawn_tokio(sink);
    }

    async fn write(&self, event: &Event) {
        AsyncSink::write(&self.0, event).await.expect("is open");
    }

    async fn close(self) {
        self.0.close().await.expect("closes well");
    }
}

/// The seed's own composition: a queue for each subscriber in [`Broadcaster::add`].
#[derive(Debug)]
pub struct InQueues(Broadcaster<Event>);

impl FanOut for InQueues {
    const PEER: &'static str = "events (a queue each)";

    fn new(_events: usize) -> Self {
        Self(Broadcaster::new())
    }

    fn add<S: Sink<Event> + AsyncSink<Event> + 'static>(&mut self, sink: Arc<S>) {
        self.0.add(Arc::new(Queue::spawn_tokio(sink))).expect("is open");
    }

    async fn write(&self, event: &Event) {
        AsyncSink::write(&self.0, event).await.expect("is open");
    }

    async fn close(self) {
        self.0.close().await.expect("closes well");
    }
}

/// [`Broadcaster::spawn`].
#[derive(Debug)]
pub struct OnThreads(Broadcaster<Event>);

impl FanOut for OnThreads {
    const PEER: &'static str = "events (threads)";

    fn new(_events: usize) -> Self {
        Self(Broadcaster::new())
    }

    fn add<S: Sink<Event> + AsyncSink<Event> + 'static>(&mut self, sink: Arc<S>) {
        self.0.spawn(sink);
    }

    async fn write(&self, event: &Event) {
        AsyncSink::write(&self.0, event).await.expect("is open");
    }

    async fn close(self) {
        self.0.close().await.expect("closes well");
    }
}

/// `tokio::sync::broadcast`, with room for all events, since it would forget the oldest.
#[derive(Debug)]
pub struct TokioBroadcast(broadcast::Sender<Event>, Vec<JoinHandle<()>>);

impl FanOut for TokioBroadcast {
    const PEER: &'static str = "tokio broadcast";

    fn new(events: usize) -> Self {
        Self(broadcast::Sender::new(events), Vec::new())
    }

    fn add<S: Sink<Event> + AsyncSink<Event> + 'static>(&mut self, sink: Arc<S>) {
        let mut rx = self.0.subscribe();
        self.1.push(tokio::spawn(async move {
            loop {
                match rx.recv().await {
                    Ok(event) => give(&*sink, &event),
                    Err(broadcast::error::RecvError::Closed) => break,
                    Err(lagged) => panic!("{lagged}"),
                }
            }
        }));
    }

    async fn write(&self, event: &Event) {
        self.0.send(event.clone()).expect("has subscribers");
    }

    async fn close(self) {
        drop(self.0);
        join(self.1).await;
    }
}

/// `async-broadcast`, with room for all events, so that the writer does not wait.
#[derive(Debug)]
pub struct AsyncBroadcast {
    tx: async_broadcast::Sender<Event>,
    rx: async_broadcast::InactiveReceiver<Event>,
    workers: Vec<JoinHandle<()>>,
}

impl FanOut for AsyncBroadcast {
    const PEER: &'static str = "async-broadcast";

    fn new(events: usize) -> Self {
        let (tx, rx) = async_broadcast::broadcast(events);
        Self { tx, rx: rx.deactivate(), workers: Vec::new() }
    }

    fn add<S: Sink<Event> + AsyncSink<Event> + 'static>(&mut self, sink: Arc<S>) {
        let mut rx = self.rx.activate_cloned();
        self.workers.push(tokio::spawn(async move {
            while let Ok(event) = rx.recv_direct().await {
                give(&*sink, &event);
            }
        }));
    }

    async fn write(&self, event: &Event) {
        self.tx.broadcast_direct(event.clone()).await.expect("is open");
    }

    async fn close(self) {
        drop(self.tx);
        join(self.workers).await;
    }
}

/// By hand: tokio's unbounded channel and a task for each.
#[derive(Debug)]
pub struct MpscEach(Vec<mpsc::UnboundedSender<Event>>, Vec<JoinHandle<()>>);

impl FanOut for MpscEach {
    const PEER: &'static str = "tokio mpsc each";

    fn new(_events: usize) -> Self {
        Self(Vec::new(), Vec::new())
    }

    fn add<S: Sink<Event> + AsyncSink<Event> + 'static>(&mut self, sink: Arc<S>) {
        let (tx, mut rx) = mpsc::unbounded_channel();
        self.0.push(tx);
        self.1.push(tokio::spawn(async move {
            while let Some(event) = rx.recv().await {
                give(&*sink, &event);
            }
        }));
    }

    async fn write(&self, event: &Event) {
        for tx in &self.0 {
            tx.send(event.clone()).expect("is open");
        }
    }

    async fn close(self) {
        drop(self.0);
        join(self.1).await;
    }
}

/// By hand: flume's unbounded channel and a task for each.
#[derive(Debug)]
pub struct FlumeEach(Vec<flume::Sender<Event>>, Vec<JoinHandle<()>>);

impl FanOut for FlumeEach {
    const PEER: &'static str = "flume each";

    fn new(_events: usize) -> Self {
        Self(Vec::new(), Vec::new())
    }

    fn add<S: Sink<Event> + AsyncSink<Event> + 'static>(&mut self, sink: Arc<S>) {
        let (tx, rx) = flume::unbounded();
        self.0.push(tx);
        self.1.push(tokio::spawn(async move {
            while let Ok(event) = rx.recv_async().await {
                give(&*sink, &event);
            }
        }));
    }

    async fn write(&self, event: &Event) {
        for tx in &self.0 {
            tx.send(event.clone()).expect("is open");
        }
    }

    async fn close(self) {
        drop(self.0);
        join(self.1).await;
    }
}

/// By hand: crossbeam's unbounded channel and a thread for each. Its close blocks.
#[derive(Debug)]
pub struct CrossbeamEach(Vec<crossbeam_channel::Sender<Event>>, Vec<thread::JoinHandle<()>>);

impl FanOut for CrossbeamEach {
    const PEER: &'static str = "crossbeam each (threads)";

    fn new(_events: usize) -> Self {
        Self(Vec::new(), Vec::new())
    }

    fn add<S: Sink<Event> + AsyncSink<Event> + 'static>(&mut self, sink: Arc<S>) {
        let (tx, rx) = crossbeam_channel::unbounded();
        self.0.push(tx);
        self.1.push(thread::spawn(move || rx.iter().for_each(|event| give(&*sink, &event))));
    }

    async fn write(&self, event: &Event) {
        for tx in &self.0 {
            tx.send(event.clone()).expect("is open");
        }
    }

    async fn close(self) {
        drop(self.0);
        for worker in self.1 {
            worker.join().expect("ends well");
        }
    }
}
