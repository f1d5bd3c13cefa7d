use std::time::Duration;

/// How long a log keeps its events.
///
/// An event is kept as long as one of the rules says so; see [`or`](Self::or). That is looked at with
/// each commit, and what is to go goes little by little.
///
/// # Default
/// [`until_settled`](Self::until_settled).
///
/// ```
/// use std::time::Duration;
/// use events_durable::Retention;
///
/// // A week at least, and longer for a consumer that is behind.
/// let retention = Retention::until_settled().or(Retention::age(Duration::from_hours(24 * 7)));
/// # let _ = retention;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub(crate) until_settled: bool,
    pub(crate) age: Option<Duration>,
    pub(crate) size: Option<u64>,
}

impl Retention {
    /// Until every consumer that the file knows has delivered it or has it as a dead letter. A log
    /// without consumers keeps all.
    pub const fn until_settled() -> Self {
        Self { until_settled: true, age: None, size: None }
    }

    /// For so long since it was written, whether or not anybody has it. A consumer that is further
    /// behind misses events, and its [`stats`](crate::Consumer::stats) count them as dropped.
    pub const fn age(age: Duration) -> Self {
        Self { until_settled: false, age: Some(age), size: None }
    }

    /// As long as the file, with all in it, takes no more than about so many bytes: then the oldest
    /// go, whether or not anybody has them. A consumer that is further behind misses events, and
    /// its [`stats`](crate::Consumer::stats) count them as dropped.
    pub const fn size(bytes: u64) -> Self {
        Self { until_settled: false, age: None, size: Some(bytes) }
    }

    /// As long as one of the two says so.
    pub const fn or(self, other: Self) -> Self {
        Self {
            until_settled: self.until_settled || other.until_settled,
            age: match (self.age, other.age) {
                (Some(ours), Some(theirs)) if ours.as_nanos() < theirs.as_nanos() => Some(theirs),
                (None, theirs) => theirs,
                (ours, _) => ours,
            },
            size: match (self.size, other.size) {
                (Some(ours), Some(theirs)) if ours < theirs => Some(theirs),
                (None, theirs) => theirs,
                (ours, _) => ours,
            },
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::until_settled()
    }
}
