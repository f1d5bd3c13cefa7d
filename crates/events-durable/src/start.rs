use std::time::SystemTime;

use crate::event_id::EventId;

/// Where in a log one begins to read.
///
/// What retention has taken away is passed over: then it begins with the oldest event there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Start {
    /// At the oldest event that is kept.
    #[default]
    Earliest,
    /// After all that is written already.
    Latest,
    /// After this event, whether or not it is still kept. An id of another file is as good as
    /// [`Earliest`](Self::Earliest).
    After(EventId),
    /// At the first event that was written at this time or later, by the clock of the machine.
    At(SystemTime),
    /// At the last so many events, or fewer if there are not so many.
    Last(u64),
}
