use std::time::Duration;

/// What a full queue does with one more event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The writer waits for room: a thread blocks, a task awaits. First come, first served.
    #[default]
    Block,
    /// The writer waits for room, but no longer than this; then its write is
    /// [`Full`](crate::ErrorKind::Full).
    BlockFor(Duration),
    /// The write is [`Full`](crate::ErrorKind::Full) at once.
    Reject,
    /// The write is `Ok`, and the oldest event that waits is dropped for it.
    DropOldest,
    /// The write is `Ok`, and its event is dropped.
    DropNewest,
}
