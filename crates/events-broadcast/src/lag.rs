use events_core::ConfigError;

/// What becomes of a subscriber that is slower than the writers.
///
/// The writers never wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Lag {
    /// It misses nothing: memory grows with what it has not read.
    #[default]
    Unbounded,
    /// It skips what lies further behind the newest event than this many, and is told how many it
    /// missed.
    DropOldest(usize),
    /// Once it lies further behind than this many events, its subscription ends.
    Disconnect(usize),
}

impl Lag {
    pub(crate) fn bound(self) -> Result<Option<u64>, ConfigError> {
        match self {
            Self::Unbounded => Ok(None),
            Self::DropOldest(0) | Self::Disconnect(0) => {
                Err(ConfigError::new("lag", "must allow at least 1 event, was 0"))
            }
            Self::DropOldest(bound) | Self::Disconnect(bound) => Ok(Some(bound as u64)),
        }
    }

    pub(crate) const fn disconnects(self) -> bool {
        matches!(self, Self::Disconnect(_))
    }
}
