/// Names one sink of one [`Broadcaster`](crate::Broadcaster); never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkId(pub(crate) u64);
