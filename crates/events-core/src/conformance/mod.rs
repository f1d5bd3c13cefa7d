//! The contract of [`Sink`] and [`AsyncSink`] as a test suite to run on sinks of your own.
//!
//! A [`Suite`] is told how to make a fresh sink and checks it rule by rule. A rule that is broken
//! panics with its text and with what was seen, so one `#[test]` calls one [`run`](Suite::run). A
//! sink that hangs is a failure too: each rule has [`patience`](Suite::patience).
//!
//! # A sink that ends a pipeline
//! It is given events made from numbers. If it can also tell what it has committed, in numbers
//! again, nothing may be missing, there twice, or out of its writer's order:
//!
//! ```
//! use events_core::{Memory, conformance::Suite};
//!
//! Suite::sink(Memory::<String>::new, |number| format!("event {number}"))
//!     .observed(|memory| {
//!         memory.events().iter().map(|event| event["event ".len()..].parse().unwrap()).collect()
//!     })
//!     .run();
//! ```
//!
//! # A sink that hands events on
//! The suite lends it a [`Destination`] for `u64`, or for batches of them, that blocks, panics and
//! calls back, so that more can be checked: that `close` and `abort` are handed inwards, that a
//! close from inside the destination does not hang, that a panic is got over. See
//! [`Suite::wrapper`] and [`Suite::async_wrapper`].
//!
//! ```
//! use events_core::{BoxAsyncSink, conformance::Suite};
//!
//! Suite::async_wrapper(|destination| BoxAsyncSink::<u64>::new(destination)).run();
//! ```

mod destination;
mod kit;
mod rules;
#[cfg(test)]
mod tests;
mod trial;

use std::{
    any::Any,
    borrow::Borrow,
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    task::Poll,
    thread,
    time::Duration,
};

pub use destination::Destination;
use trial::Trial;

use kit::{Drive, Kit, Outcome};

use crate::{
    error::SinkError,
    event::Event,
    runtime::park,
    sink::{AsyncSink, Close, Sink},
};

/// Long enough for any machine: a rule that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a sink is made and written to, and what is expected of it. See the [module](self).
///
/// # Default
/// Nothing is observed but at the [`Destination`]; every accepted event must arrive, in its writer's
/// order; futures are driven by [`park::block_on`]; the patience is 30 seconds a rule.
#[must_use = "`run` runs the suite"]
pub struct Suite<S> {
    kit: Kit<S>,
    patience: Duration,
}

impl<S: Close + 'static> Suite<S> {
    /// A suite for a sink that `make` makes and that takes the events that `event` makes, a
    /// different one for each number.
    ///
    /// For a sink that takes many types, name the one to try: `Suite::sink::<str, _>(...)`.
    pub fn sink<E: ?Sized + Event, B: Borrow<E>>(
        make: impl Fn() -> S + Send + Sync + 'static,
        event: impl Fn(u64) -> B + Send + Sync + 'static,
    ) -> Self
    where
        S: Sink<E>,
    {
        Self::new(
            move |_| make(),
            move |sink, number, _| {
                // The contract holds behind a trait object as well.
                let sink: &dyn Sink<E> = sink;
                sink.write(event(number).borrow())
            },
        )
    }

    /// The same for an asynchronous sink. If it needs a worker or a runtime, `make` starts it.
    pub fn async_sink<E: ?Sized + Event, B: Borrow<E> + Sync>(
        make: impl Fn() -> S + Send + Sync + 'static,
        event: impl Fn(u64) -> B + Send + Sync + 'static,
    ) -> Self
    where
        S: AsyncSink<E>,
    {
        Self::new_async(move |_| make(), event)
    }

    /// A suite for a sink that hands what it takes on to the destination it is made with.
    ///
    /// ```
    /// use events_core::{Sink, conformance::Suite};
    ///
    /// Suite::wrapper(|destination| Box::new(destination) as Box<dyn Sink<u64>>).run();
    /// ```
    pub fn wrapper(make: impl Fn(Destination) -> S + Send + Sync + 'static) -> Self
    where
        S: Sink<u64>,
    {
        let make = move |destination: &Destination| make(destination.clone());
        Self::new(make, |sink, number, _| Sink::write(sink, &number)).handing_on()
    }

    /// The same for an asynchronous sink. If it needs a worker or a runtime, `make` starts it.
    pub fn async_wrapper(make: impl Fn(Destination) -> S + Send + Sync + 'static) -> Self
    where
        S: AsyncSink<u64>,
    {
        let make = move |destination: &Destination| make(destination.clone());
        Self::new_async::<u64, u64>(make, |number| number).handing_on()
    }

    /// What the sink has committed, as the numbers of its events, in its order.
    ///
    /// Not needed for what is handed on to a [`Destination`].
    pub fn observed(mut self, committed: impl Fn(&S) -> Vec<u64> + Send + Sync + 'static) -> Self {
        self.kit.observe = Some(Box::new(committed));
        self
    }

    /// The sink may drop what it has accepted, as some overflow policies do: an event arrives at
    /// most once instead of exactly once.
    pub fn lossy(mut self) -> Self {
        self.kit.lossy = true;
        self
    }

    /// The sink works on several events at once and keeps no order among them.
    pub fn unordered(mut self) -> Self {
        self.kit.unordered = true;
        self
    }

    /// The sink is borrowed for ever, as a `&'static` one is, and so is its destination: that it lets
    /// go of that is not checked.
    pub fn borrowed(mut self) -> Self {
        self.kit.borrowed = true;
        self
    }

    /// Drives the futures of an asynchronous sink that needs a runtime, for one
    /// `move |future| runtime.block_on(future)`.
    pub fn driven_by(
        mut self,
        drive: impl Fn(Pin<&mut (dyn Future<Output = Outcome> + Send + '_)>) -> Outcome
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.kit.drive = Box::new(drive);
        self
    }

    /// How long a rule may take before it counts as a hang.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Checks every rule, one after the other, each on a fresh sink.
    ///
    /// # Panics
    /// At the first rule that is broken, with its text.
    pub fn run(self) {
        let kit = Arc::new(self.kit);
        for &(rule, check) in rules::all() {
            let kit = Arc::clone(&kit);
            let (tell, told) = mpsc::channel();
            // A thread that hangs is left behind; the test that it fails ends the process.
            thread::spawn(move || {
                let result = catch_unwind(AssertUnwindSafe(|| check(&kit)));
                // The suite may have lost its patience already.
                drop(tell.send(result));
            });
            match told.recv_timeout(self.patience) {
                Ok(Ok(())) => {}
                Ok(Err(panic)) => panic!("{rule}: {}", message(&*panic)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{rule}: this did not end within {:?}", self.patience)
                }
            }
        }
    }

    fn new(
        make: impl Fn(&Destination) -> S + Send + Sync + 'static,
        write: impl Fn(&S, u64, &Drive) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        let kit = Kit {
            make: Box::new(make),
            write: Box::new(write),
            write_and_drop: None,
            observe: None,
            drive: Box::new(|future| park::block_on(future)),
            hands_on: false,
            lossy: false,
            unordered: false,
            borrowed: false,
        };
        Self { kit, patience: PATIENCE }
    }

    fn new_async<E: ?Sized + Event, B: Borrow<E> + Sync>(
        make: impl Fn(&Destination) -> S + Send + Sync + 'static,
        event: impl Fn(u64) -> B + Send + Sync + 'static,
    ) -> Self
    where
        S: AsyncSink<E>,
    {
        let event = Arc::new(event);
        let same = Arc::clone(&event);
        let mut suite = Self::new(make, move |sink, number, drive| {
            let event = event(number);
            drive(pin!(AsyncSink::write(sink, event.borrow())))
        });
        suite.kit.write_and_drop = Some(Box::new(move |sink, number, drive| {
            let event = same(number);
            let mut write = pin!(AsyncSink::write(sink, event.borrow()));
            drive(pin!(poll_fn(|cx| Poll::Ready(match write.as_mut().poll(cx) {
                Poll::Ready(result) => result,
                Poll::Pending => Err(SinkError::full()),
            }))))
        }));
        suite
    }

    fn handing_on(mut self) -> Self {
        self.kit.hands_on = true;
        self
    }
}

impl<S: Close> Kit<S> {
    /// A fresh sink, with the destination that it may hand on to.
    fn trial(self: &Arc<Self>) -> Arc<Trial<S>> {
        Arc::new(Trial::new(Arc::clone(self)))
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

impl<S> fmt::Debug for Suite<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("sink", &std::any::type_name::<S>())
            .field("lossy", &self.kit.lossy)
            .field("unordered", &self.kit.unordered)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
