/// What became of the attempts of a [`Retry`](crate::Retry).
///
/// A snapshot: `attempts` = `successes` + `failures` + `refused` + `abandoned`, at all times. An
/// attempt counts once it is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryStats {
    /// Writes to the inner sink.
    pub attempts: u64,
    /// Those that committed their event.
    pub successes: u64,
    /// Those that failed in a way that another attempt may help against.
    pub failures: u64,
    /// Those that failed for good: rejected, or the inner sink is closed.
    pub refused: u64,
    /// Those that never returned: the write was dropped, or panicked.
    pub abandoned: u64,
    /// Attempts that were not the first of their write.
    pub retries: u64,
    /// Writes that ended because the strategy, an abort or a close gave them up.
    pub given_up: u64,
}
