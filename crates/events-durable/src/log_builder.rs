use std::{
    fmt,
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use events_core::{ConfigError, Event, Overflow};
use serde::de::DeserializeOwned;

use crate::{
    commit_queue::Bounds,
    committer::Committer,
    consumer_config::no_thread,
    durability::Durability,
    loader::Loader,
    lock,
    log::DurableLog,
    log_state::{LogParts, LogState},
    open_error::OpenError,
    retention::Retention,
    schema::{self, Owner},
    store::{Store, size},
};

/// A file smaller than this has no room for its tables and some events.
const SMALLEST: u64 = 64 * 1024;

/// Sets up a [`DurableLog`].
///
/// # Default
/// [`Durability::Full`]; as many events as the disk holds; with a bound, writers wait for room
/// ([`Overflow::Block`]); kept [until every consumer has it](Retention::until_settled).
///
/// ```
/// use std::time::Duration;
/// use events_core::Close;
/// use events_durable::{Durability, DurableLog, Overflow, Retention};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("events.db");
/// let log = DurableLog::<String>::builder(path)
///     .name("orders")
///     .durability(Durability::Normal)
///     .retention(Retention::until_settled().or(Retention::age(Duration::from_hours(24))))
///     .max_size(1 << 30)
///     .overflow(Overflow::Reject)
///     .open()?;
/// log.close().wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LogBuilder<E> {
    path: PathBuf,
    name: Arc<str>,
    durability: Durability,
    capacity: Option<usize>,
    max_size: Option<u64>,
    overflow: Option<Overflow>,
    retention: Retention,
    owner: Owner,
    event: PhantomData<fn(&E)>,
}

impl<E: Event + DeserializeOwned> DurableLog<E> {
    /// Opens or creates the file at `path`.
    ///
    /// # Errors
    /// The file cannot be opened: see [`OpenErrorKind`](crate::OpenErrorKind).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder(path).open()
    }

    /// Durability, bounds, overflow policy, retention and name, for a log in the file at `path`.
    pub fn builder(path: impl AsRef<Path>) -> LogBuilder<E> {
        LogBuilder::new(path.as_ref().to_owned())
    }
}

impl<E: Event + DeserializeOwned> LogBuilder<E> {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            name: Arc::from("durable-log"),
            durability: Durability::Full,
            capacity: None,
            max_size: None,
            overflow: None,
            retention: Retention::until_settled(),
            owner: Owner::Log,
            event: PhantomData,
        }
    }

    /// What to call the log in traces, and its threads.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// What a write that is `Ok` has survived.
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// At most this many events are pending for a consumer that runs, waiting, parked or being
    /// delivered; at least 1.
    pub const fn capacity(mut self, events: usize) -> Self {
        self.capacity = Some(events);
        self
    }

    /// The file takes up to about this many bytes, dead letters included; at least 64 KiB. The
    /// write-ahead log beside it takes up to some megabytes more.
    pub const fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// What a write to a full log does. Needs a [`capacity`](Self::capacity) or a
    /// [`max_size`](Self::max_size).
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = Some(overflow);
        self
    }

    /// How long events are kept. What a consumer has parked, has in hand or has as a dead letter is
    /// kept until that is over.
    pub const fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// The file is the program's own database: the log's tables, whose names begin with `durable_`, lie
    /// beside the program's. So events are committed with the data they tell of, or not at all: see
    /// [`write_in`](DurableLog::write_in).
    ///
    /// The file is put into WAL mode. It may not be bounded in size, nor is it ever made smaller: it is
    /// not the log's. Events that other processes write with
    /// [`outbox::write`](crate::outbox::write) are noticed within a tenth of a second.
    #[cfg(feature = "outbox")]
    #[cfg_attr(docsrs, doc(cfg(feature = "outbox")))]
    pub const fn inside(mut self) -> Self {
        self.owner = Owner::Program;
        self
    }

    pub(crate) const fn max_pending(&self) -> Option<usize> {
        self.capacity
    }

    pub(crate) const fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(crate) const fn label(&self) -> &Arc<str> {
        &self.name
    }

    /// Opens or creates the file, and starts the threads that have it: one that commits, one that
    /// reads.
    ///
    /// # Errors
    /// A setting that makes no sense, or a file that cannot be opened: see
    /// [`OpenErrorKind`](crate::OpenErrorKind).
    pub fn open(self) -> Result<DurableLog<E>, OpenError> {
        let overflow = self.check().map_err(|error| OpenError::setting(&self.path, error))?;
        let path = lock::resolve(&self.path)?;
        let mut store = Store::open(&path, self.durability, self.owner)?;
        let connection = schema::open_to_read(&path)?;
        let sqlite = |error| OpenError::sqlite(&path, error);
        if self.owner == Owner::Program {
            // Before others can write an event of this opening.
            store.save_opening().map_err(sqlite)?;
        }
        let (used, _) = size(&store.connection).map_err(sqlite)?;
        let bounds = Bounds {
            capacity: self.capacity.map_or(u64::MAX, |capacity| capacity as u64),
            max_size: self.max_size.unwrap_or(u64::MAX),
            overflow,
        };
        let state = Arc::new(LogState::new(LogParts {
            name: Arc::clone(&self.name),
            path: path.clone(),
            openings: Arc::clone(&store.openings),
            retention: self.retention,
            bounds,
            head: store.next_seq,
            used,
        }));
        let start = |name: &str| thread::Builder::new().name(format!("{}-{name}", self.name));
        let loader = Loader { log: Arc::clone(&state), connection };
        let loader = start("load").spawn(move || loader.run());
        let loader = loader.map_err(|error| no_thread(&path, error))?;
        let committer = Committer {
            store: Some(store),
            log: Arc::clone(&state),
            loader: Some(loader),
            checked: Instant::now(),
            version: None,
            written: None,
            has_leftovers: false,
        };
        let started = start("disk").spawn(move || committer.run());
        if let Err(error) = started {
            state.loads.stop();
            return Err(no_thread(&path, error));
        }
        Ok(DurableLog::new(state))
    }

    pub(crate) fn check(&self) -> Result<Overflow, ConfigError> {
        let refuse = |setting, problem: &str| Err(ConfigError::new(setting, problem));
        if self.name.contains('\0') {
            return refuse("name", "must not contain a NUL byte");
        }
        if self.capacity == Some(0) {
            return refuse("capacity", "must be at least 1, was 0");
        }
        if self.max_size.is_some_and(|size| size < SMALLEST) {
            return refuse("max_size", "must be at least 64 KiB");
        }
        if self.retention.size.is_some_and(|size| size < SMALLEST) {
            return refuse("retention", "must be at least 64 KiB");
        }
        if self.owner == Owner::Program
            && (self.max_size.is_some() || self.retention.size.is_some())
        {
            let problem = "cannot be bounded in a file that is not the log's alone";
            return refuse("max_size", problem);
        }
        if self.overflow.is_some() && self.capacity.is_none() && self.max_size.is_none() {
            return refuse("overflow", "needs a capacity or a max_size to be full at");
        }
        if self.overflow == Some(Overflow::BlockFor(Duration::ZERO)) {
            return refuse("overflow", "must block for more than zero; use Overflow::Reject");
        }
        Ok(self.overflow.unwrap_or_default())
    }
}

impl<E> fmt::Debug for LogBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogBuilder")
            .field("path", &self.path)
            .field("name", &self.name)
            .field("durability", &self.durability)
            .field("capacity", &self.capacity)
            .field("max_size", &self.max_size)
            .field("overflow", &self.overflow)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}
