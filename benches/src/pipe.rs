//! Queues: events go in at one end and reach one sink at the other, on a thread or in a task.

use std::{sync::Arc, thread};

use events_core::{Close, Sink};
use events_queue::Queue;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{Counter, Event};

/// A queue in front of a sink. It is opened inside a runtime, and closed by a blocking call
/// outside of its tasks.
pub trait Pipe: Send + Sync + 'static {
    /// Who it is.
    const PEER: &'static str;

    /// Starts a worker that gives to `sink` what is written.
    fn open(sink: Arc<Counter>) -> Self;

    /// Puts `event` into the queue.
    fn write(&self, event: &Event);

    /// Ends once everything has been delivered.
    fn close(self);
}

fn give(sink: &impl Sink<Event>, event: &Event) {
    sink.write(event).expect("the sink takes everything");
}

/// [`Queue`] with a thread.
#[derive(Debug)]
pub struct ByThread(Queue<Event>);

impl Pipe for ByThread {
    const PEER: &'static str = "events";

    fn open(sink: Arc<Counter>) -> Self {
        Self(Queue::spawn(sink))
    }

    fn write(&self, event: &Event) {
        give(&self.0, event);
    }

    fn close(self) {
        self.0.close().wait().expect("closes well");
    }
}

/// [`Queue`] with a tokio task.
#[derive(Debug)]
pub struct ByTask(Queue<Event>);

impl Pipe for ByTask {
    const PEER: &'static str = "events (task)";

    fn open(sink: Arc<Counter>) -> Self {
        Self(Queue::spawn_tokio(sink))
    }

    fn write(&self, event: &Event) {
        give(&self.0, event);
    }

    fn close(self) {
        self.0.close().wait().expect("closes well");
    }
}

/// By hand: crossbeam's unbounded channel and a thread.
#[derive(Debug)]
pub struct Crossbeam(crossbeam_channel::Sender<Event>, thread::JoinHandle<()>);

impl Pipe for Crossbeam {
    const PEER: &'static str = "crossbeam";

    fn open(sink: Arc<Counter>) -> Self {
        let (tx, rx) = crossbeam_channel::unbounded();
        Self(tx, thread::spawn(move || rx.iter().for_each(|event| give(&*sink, &event))))
    }

    fn write(&self, event: &Event) {
        self.0.send(event.clone()).expect("is open");
    }

    fn close(self) {
        drop(self.0);
        self.1.join().expect("ends well");
    }
}

/// By hand: flume's unbounded channel and a thread.
#[derive(Debug)]
pub struct Flume(flume::Sender<Event>, thread::JoinHandle<()>);

impl Pipe for Flume {
    const PEER: &'static str = "flume";

    fn open(sink: Arc<Counter>) -> Self {
        let (tx, rx) = flume::unbounded();
        Self(tx, thread::spawn(move || rx.iter().for_each(|event| give(&*sink, &event))))
    }

    fn write(&self, event: &Event) {
        self.0.send(event.clone()).expect("is open");
    }

    fn close(self) {
        drop(self.0);
        self.1.join().expect("ends well");
    }
}

/// By hand: tokio's unbounded channel and a task.
#[derive(Debug)]
pub struct Mpsc(mpsc::UnboundedSender<Event>, JoinHandle<()>);

impl Pipe for Mpsc {
    const PEER: &'static str = "tokio mpsc";

    fn open(sink: Arc<Counter>) -> Self {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let worker = async move {
            while let Some(event) = rx.recv().await {
                give(&*sink, &event);
            }
        };
        Self(tx, tokio::spawn(worker))
    }

    fn write(&self, event: &Event) {
        self.0.send(event.clone()).expect("is open");
    }

    fn close(self) {
        drop(self.0);
        events_core::engine::park::block_on(self.1).expect("ends well");
    }
}
