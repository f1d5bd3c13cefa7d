/// A snapshot of an [`AdaptiveLimit`](crate::AdaptiveLimit).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitStats {
    /// How many writes may be under way at once.
    pub limit: usize,
    /// How many are; more than the limit just after it was lowered.
    pub in_flight: usize,
    /// How many wait.
    pub waiting: usize,
}
