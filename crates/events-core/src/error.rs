use std::{error::Error, fmt, sync::Arc, time::Duration};

/// What may help against a [`SinkError`]: the only thing that strategies and queues look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The sink is closed and stays so. Whoever holds it may let it go.
    Closed,
    /// This event will never be taken. Trying again is useless, the next event may pass.
    Rejected,
    /// The sink may take the event later.
    Unavailable,
    /// A bounded buffer has no room now.
    Full,
    /// Waiting here would wait for the caller itself, for ever; so nothing was waited for.
    WouldDeadlock,
    /// Events were accepted and not delivered, which a close tells: [`SinkError::undelivered`] says how
    /// many. One that a dead letter has taken, or a policy has dropped, is none of them.
    Undelivered,
}

impl ErrorKind {
    /// Whether the same sink may take the same event later.
    ///
    /// ```
    /// use events_core::ErrorKind;
    ///
    /// assert!(ErrorKind::Unavailable.is_retryable());
    /// assert!(!ErrorKind::Rejected.is_retryable());
    /// ```
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Unavailable | Self::Full => true,
            Self::Closed | Self::Rejected | Self::WouldDeadlock | Self::Undelivered => false,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the sink is closed",
            Self::Rejected => "the event was rejected",
            Self::Unavailable => "the sink is unavailable",
            Self::Full => "the buffer is full",
            Self::WouldDeadlock => "waiting here would deadlock",
            Self::Undelivered => "events were not delivered",
        })
    }
}

/// Why a sink did not commit an event, or how a close fell short.
///
/// Opaque and cheap to clone. [`kind`](Self::kind) is what to act on, [`source`](Error::source) is
/// what to read: `Display` prints this level alone. No error of the family holds a secret.
///
/// ```
/// use events_core::{ErrorKind, SinkError};
/// use std::time::Duration;
///
/// let error = SinkError::unavailable("503 Service Unavailable")
///     .with_retry_after(Duration::from_secs(30));
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
/// assert_eq!(error.to_string(), "the sink is unavailable");
/// ```
#[derive(Clone)]
pub struct SinkError {
    kind: ErrorKind,
    /// Absent for the plain kinds, which cost no allocation.
    detail: Option<Arc<Detail>>,
}

#[derive(Default, Clone)]
struct Detail {
    source: Option<Arc<dyn Error + Send + Sync>>,
    retry_after: Option<Duration>,
    undelivered: u64,
    errors: Vec<SinkError>,
    failures: Vec<(usize, SinkError)>,
}

impl SinkError {
    /// An error of this kind with what caused it, a message or another error.
    pub fn new(kind: ErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::from(kind).with_source(source)
    }

    /// [`ErrorKind::Closed`], with no further cause.
    pub const fn closed() -> Self {
        Self::plain(ErrorKind::Closed)
    }

    /// [`ErrorKind::Full`], with no further cause.
    pub const fn full() -> Self {
        Self::plain(ErrorKind::Full)
    }

    /// [`ErrorKind::Rejected`] because of `source`.
    pub fn rejected(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Rejected, source)
    }

    /// [`ErrorKind::Unavailable`] because of `source`.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Unavailable, source)
    }

    /// [`ErrorKind::WouldDeadlock`]; `source` says what to do instead.
    pub fn would_deadlock(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::WouldDeadlock, source)
    }

    /// [`ErrorKind::Undelivered`]: `count` events were accepted and not delivered.
    pub fn undelivered_events(count: u64) -> Self {
        Self::from(ErrorKind::Undelivered).update(|detail| detail.undelivered = count)
    }

    /// One error out of the several that one close met, `None` out of none and the error itself
    /// out of one. Its kind is `Undelivered` if any was, else that of the first.
    pub fn combine(errors: impl IntoIterator<Item = SinkError>) -> Option<Self> {
        let mut errors: Vec<_> = errors.into_iter().collect();
        if errors.len() < 2 {
            return errors.pop();
        }
        let undelivered = errors.iter().map(|e| e.undelivered().unwrap_or(0)).sum();
        let lost = errors.iter().any(|e| e.kind == ErrorKind::Undelivered);
        let kind = if lost { ErrorKind::Undelivered } else { errors[0].kind };
        let retry_after = errors.iter().filter_map(Self::retry_after).max();
        Some(Self::from(kind).update(|detail| {
            detail.undelivered = undelivered;
            detail.retry_after = retry_after;
            detail.errors = errors;
        }))
    }

    /// Part of a batch was not committed: the events at these positions, each because of its own
    /// error; the others were. `None` if there are none.
    ///
    /// Its kind is `Closed` if any is, else that of the first that may be tried again, else that of
    /// the first.
    ///
    /// ```
    /// use events_core::{ErrorKind, SinkError};
    ///
    /// let error = SinkError::of_batch(vec![(3, SinkError::rejected("too large"))]).unwrap();
    /// assert_eq!(error.kind(), ErrorKind::Rejected);
    /// assert_eq!(error.failures()[0].0, 3);
    /// ```
    pub fn of_batch(mut failures: Vec<(usize, SinkError)>) -> Option<Self> {
        failures.sort_by_key(|(at, _)| *at);
        failures.dedup_by_key(|(at, _)| *at);
        let kinds = || failures.iter().map(|(_, error)| error.kind);
        let kind = kinds()
            .find(|kind| *kind == ErrorKind::Closed)
            .or_else(|| kinds().find(|kind| kind.is_retryable()))
            .or_else(|| kinds().next())?;
        let retry_after = failures.iter().filter_map(|(_, error)| error.retry_after()).max();
        Some(Self::from(kind).update(|detail| {
            detail.retry_after = retry_after;
            detail.failures = failures;
        }))
    }

    /// The same error because of `source`.
    pub fn with_source(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.update(|detail| detail.source = Some(Arc::from(source.into())))
    }

    /// The same error, saying how long the destination asked to be left alone.
    pub fn with_retry_after(self, wait: Duration) -> Self {
        self.update(|detail| detail.retry_after = Some(wait))
    }

    /// What may help.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// How long the destination asked to be left alone, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.detail.as_ref()?.retry_after
    }

    /// How many events a close gave up on, for [`ErrorKind::Undelivered`].
    pub fn undelivered(&self) -> Option<u64> {
        (self.kind == ErrorKind::Undelivered)
            .then(|| self.detail.as_ref().map_or(0, |detail| detail.undelivered))
    }

    /// The errors that this one stands for, when one close met several; empty otherwise.
    pub fn errors(&self) -> &[SinkError] {
        self.detail.as_ref().map_or(&[], |detail| &detail.errors)
    }

    /// The events of a batch that were not committed, by their position, in order, if the sink could
    /// tell them from the others; otherwise empty, and the error is that of all.
    pub fn failures(&self) -> &[(usize, SinkError)] {
        self.detail.as_ref().map_or(&[], |detail| &detail.failures)
    }

    const fn plain(kind: ErrorKind) -> Self {
        Self { kind, detail: None }
    }

    fn update(mut self, change: impl FnOnce(&mut Detail)) -> Self {
        change(Arc::make_mut(self.detail.get_or_insert_default()));
        self
    }
}

impl From<ErrorKind> for SinkError {
    fn from(kind: ErrorKind) -> Self {
        Self::plain(kind)
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.undelivered().unwrap_or(0) {
            // Also an error that is about one event and counts none.
            0 => self.kind.fmt(f),
            1 => f.write_str("1 event was not delivered"),
            count => write!(f, "{count} events were not delivered"),
        }
    }
}

impl fmt::Debug for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("SinkError");
        debug.field("kind", &self.kind);
        if let Some(detail) = &self.detail {
            if let Some(source) = &detail.source {
                debug.field("source", source);
            }
            if let Some(wait) = detail.retry_after {
                debug.field("retry_after", &wait);
            }
            if let Some(count) = self.undelivered() {
                debug.field("undelivered", &count);
            }
            if !detail.errors.is_empty() {
                debug.field("errors", &detail.errors);
            }
            if !detail.failures.is_empty() {
                debug.field("failures", &detail.failures);
            }
        }
        debug.finish()
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let detail = self.detail.as_ref()?;
        if let Some(source) = &detail.source {
            return Some(source.as_ref());
        }
        let parts = detail.failures.iter().map(|(_, error)| error);
        detail.errors.iter().chain(parts).next().map(|error| error as &dyn Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_prints_one_level_and_source_the_rest() {
        let error = SinkError::rejected("status 400");
        assert_eq!(error.to_string(), "the event was rejected");
        assert_eq!(error.source().unwrap().to_string(), "status 400");
        let uncounted = SinkError::new(ErrorKind::Undelivered, "given up by an abort");
        assert_eq!(uncounted.to_string(), "events were not delivered");
        assert_eq!(SinkError::undelivered_events(2).to_string(), "2 events were not delivered");
    }

    #[test]
    fn several_errors_become_one_that_lists_them() {
        let both = SinkError::combine([SinkError::closed(), SinkError::undelivered_events(3)]);
        let both = both.unwrap();
        assert_eq!(both.kind(), ErrorKind::Undelivered);
        assert_eq!(both.undelivered(), Some(3));
        assert_eq!(both.errors().len(), 2);
        assert_eq!(both.source().unwrap().to_string(), "the sink is closed");
        assert!(SinkError::combine([]).is_none());
        assert_eq!(SinkError::combine([SinkError::full()]).unwrap().kind(), ErrorKind::Full);
    }

    #[test]
    fn the_failures_of_a_batch_stand_in_order_and_the_gravest_gives_the_kind() {
        let rejected = || SinkError::rejected("status 400");
        let later = SinkError::full().with_retry_after(Duration::from_secs(7));
        let error =
            SinkError::of_batch(vec![(5, later), (2, rejected()), (2, SinkError::closed())]);
        let error = error.unwrap();
        let at: Vec<_> = error.failures().iter().map(|(at, error)| (*at, error.kind())).collect();
        assert_eq!(at, [(2, ErrorKind::Rejected), (5, ErrorKind::Full)]);
        assert_eq!(error.kind(), ErrorKind::Full);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(error.source().unwrap().to_string(), "the event was rejected");
        let closed = vec![(0, SinkError::full()), (1, SinkError::closed())];
        assert_eq!(SinkError::of_batch(closed).unwrap().kind(), ErrorKind::Closed);
        assert_eq!(SinkError::of_batch(vec![(0, rejected())]).unwrap().kind(), ErrorKind::Rejected);
        assert!(SinkError::of_batch(Vec::new()).is_none());
    }
}
