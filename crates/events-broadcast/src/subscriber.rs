use std::{
    fmt,
    sync::{Arc, LazyLock},
    thread,
};

use events_core::{
    AsyncSink, Close, ConfigError, DeadLetter, Event, Sink,
    engine::{AccountConfig, Blocking, Cursor, Deliver, Each, Linger, Worker, park::block_on},
};

use crate::{
    broadcaster::{Broadcaster, Shared},
    delivery::Delivery,
    lag::Lag,
    subscription::Subscription,
};

/// What a subscriber is called unless it is told, the same for all of them.
static NAME: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("subscriber"));

/// Sets up one subscriber of a [`Broadcaster`](crate::Broadcaster).
///
/// # Default
/// Without bound ([`Lag::Unbounded`]). No dead letter: what cannot be delivered is counted and told
/// through `tracing`.
///
/// ```
/// use std::sync::Arc;
/// use events_broadcast::{Broadcaster, Lag};
/// use events_core::{Close, Memory, Sink};
///
/// let all = Broadcaster::new();
/// let audit = Arc::new(Memory::new());
/// let delivery = all
///     .subscriber()
///     .name("audit")
///     .lag(Lag::DropOldest(10_000))
///     .spawn(Arc::clone(&audit))?;
/// all.write(&"login")?;
/// delivery.flush().wait()?;
/// assert_eq!(delivery.stats().delivered, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "it subscribes nobody until `subscribe`, `spawn`, `pair` or `spawn_tokio`"]
pub struct Subscriber<E> {
    shared: Arc<Shared<E>>,
    name: Arc<str>,
    lag: Lag,
    dead_letter: Option<Arc<dyn Sink<DeadLetter<E>>>>,
}

impl<E: Event + Clone> Broadcaster<E> {
    /// Lag, name and dead letter of one more subscriber.
    pub fn subscriber(&self) -> Subscriber<E> {
        Subscriber::new(Arc::clone(self.shared()))
    }
}

impl<E: Event + Clone> Subscriber<E> {
    pub(crate) fn new(shared: Arc<Shared<E>>) -> Self {
        Self { shared, name: Arc::clone(&NAME), lag: Lag::Unbounded, dead_letter: None }
    }

    /// What to call it in traces, and its thread.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// What becomes of it when it is slower than the writers.
    pub fn lag(mut self, lag: Lag) -> Self {
        self.lag = lag;
        self
    }

    /// Who gets each event that a sink will not be delivered, with its error: one the sink refused
    /// for good, or one given up by an abort. Not what a lag policy skips.
    ///
    /// It must not wait, and the broadcaster does not close it, since several may share it.
    pub fn dead_letter(mut self, sink: impl Sink<DeadLetter<E>> + 'static) -> Self {
        self.dead_letter = Some(Arc::new(sink));
        self
    }

    /// Receives what is written from now on.
    ///
    /// # Errors
    /// A setting that makes no sense.
    pub fn subscribe(self) -> Result<Subscription<E>, ConfigError> {
        let bound = self.lag.bound()?;
        if self.dead_letter.is_some() {
            return Err(ConfigError::new("dead_letter", "has no use for one who pulls"));
        }
        let reader = self.shared.feed.reader(bound);
        Ok(Subscription::new(reader, self.lag, Arc::clone(&self.shared.presence)))
    }

    /// Delivers what is written from now on to `sink`, on a thread of its own.
    ///
    /// # Errors
    /// A setting that makes no sense, or a thread that could not be started.
    pub fn spawn(self, sink: impl Sink<E> + 'static) -> Result<Delivery<E>, ConfigError> {
        let name = self.name.to_string();
        let sink = Arc::new(sink);
        let (delivery, worker) = self.build(Arc::clone(&sink) as _, Each(Blocking(sink)), false)?;
        thread::Builder::new().name(name).spawn(move || block_on(worker.run())).map_err(
            |error| ConfigError::new("spawn", format!("could not start a thread: {error}")),
        )?;
        Ok(delivery)
    }

    /// Delivers what is written from now on to `sink`, by the future that is returned: see
    /// [`Broadcaster::pair`](crate::Broadcaster::pair).
    ///
    /// # Errors
    /// A setting that makes no sense.
    pub fn pair(
        self,
        sink: impl AsyncSink<E> + 'static,
    ) -> Result<(Delivery<E>, impl Future<Output = ()> + Send + 'static), ConfigError> {
        let sink = Arc::new(sink);
        let (delivery, worker) = self.build(Arc::clone(&sink) as _, Each(sink), true)?;
        Ok((delivery, worker.run()))
    }

    /// Delivers what is written from now on to `sink`, in a task of the current tokio runtime: see
    /// [`Broadcaster::spawn_tokio`](crate::Broadcaster::spawn_tokio).
    ///
    /// # Errors
    /// A setting that makes no sense, or no runtime.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(
        self,
        sink: impl AsyncSink<E> + 'static,
    ) -> Result<Delivery<E>, ConfigError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            ConfigError::new("spawn_tokio", "must be called inside a tokio runtime")
        })?;
        let sink = Arc::new(sink);
        let groups = self.shared.groups.of(self.lag.bound()?, &runtime);
        let (delivery, worker) = self.build(Arc::clone(&sink) as _, Each(sink), true)?;
        runtime.spawn(worker.with_groups(groups).run());
        Ok(delivery)
    }

    fn build<D: Deliver<E>>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
        driven_by_future: bool,
    ) -> Result<(Delivery<E>, Worker<E, D>), ConfigError> {
        if self.name.contains('\0') {
            return Err(ConfigError::new("name", "must not contain a NUL byte"));
        }
        let bound = self.lag.bound()?;
        let id = self.shared.next_id();
        // Not to be kept by an account that the roster keeps.
        let [at_end, at_abort] = [0; 2].map(|_| Arc::downgrade(&self.shared.roster));
        let reader = self.shared.feed.reader(bound);
        let parts = AccountConfig {
            sink,
            dead_letter: self.dead_letter,
            name: self.name,
            owns_feed: false,
            driven_by_future,
            span: 1,
            disconnect: self.lag.disconnects(),
            cursor: Arc::new(Cursor::new(reader.at(), bound)),
            on_end: Some(Box::new(move |outcome| {
                if let Some(roster) = at_end.upgrade() {
                    roster.ended(id, outcome);
                }
            })),
            on_abort: Some(Box::new(move || {
                if let Some(roster) = at_abort.upgrade() {
                    roster.aborted(id);
                }
            })),
        };
        let (account, worker) = Worker::new(reader, deliver, Linger::NONE, parts);
        self.shared.roster.enter(id, Arc::clone(&account));
        Ok((Delivery::new(id, account), worker))
    }
}

impl<E> fmt::Debug for Subscriber<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("name", &self.name)
            .field("lag", &self.lag)
            .field("dead_letter", &self.dead_letter.is_some())
            .finish_non_exhaustive()
    }
}
