use crate::strategy::{progress::Progress, verdict::Verdict};

/// Decides whether and when a failed write is tried again.
///
/// A plain state machine: it has no clock and never sleeps, so that one strategy serves threads and
/// tasks and is tested with whatever time one likes. It takes `&self`, since all the writes through
/// one sink share it.
///
/// # The contract
/// - [`proceed`](Self::proceed) is asked before every attempt, and again after every wait. It may
///   be asked any number of times.
/// - Each [`Go`](Verdict::Go) and [`Probe`](Verdict::Probe) is answered by exactly one of
///   [`success`](Self::success), [`failure`](Self::failure) and [`release`](Self::release).
/// - All questions and answers about one write come with the same [`Progress`].
/// - A [`Wait`](Verdict::Wait) ends early when another write gets its answer: the verdict may be
///   another one then.
///
/// ```
/// use std::time::Duration;
/// use events_core::{Progress, RetryStrategy, Verdict};
///
/// /// Three times, a second apart.
/// struct ThreeTimes;
///
/// impl<E: ?Sized> RetryStrategy<E> for ThreeTimes {
///     fn proceed(&self, _event: &E, progress: &Progress) -> Verdict {
///         match progress.attempts() {
///             0 => Verdict::Go,
///             1 | 2 => match progress.since_failure() {
///                 Some(passed) if passed >= Duration::from_secs(1) => Verdict::Go,
///                 passed => Verdict::Wait(Duration::from_secs(1) - passed.unwrap_or_default()),
///             },
///             _ => Verdict::GiveUp,
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not decide about retries of events of type `{E}`",
    note = "a constructor that may refuse its settings returns a `Result`: add `?`"
)]
pub trait RetryStrategy<E: ?Sized>: Send + Sync {
    /// What to do with this write now.
    fn proceed(&self, event: &E, progress: &Progress) -> Verdict;

    /// The attempt has committed the event.
    fn success(&self, event: &E, progress: &Progress) {
        let _ = (event, progress);
    }

    /// The attempt has failed, with the [last error](Progress::last_error), and may succeed later.
    ///
    /// What is to be waited for is fixed here, not when `proceed` asks.
    fn failure(&self, event: &E, progress: &Progress) {
        let _ = (event, progress);
    }

    /// The attempt says nothing about the destination's health: the event was rejected, the write
    /// was dropped, or it panicked.
    fn release(&self, event: &E, progress: &Progress) {
        let _ = (event, progress);
    }
}
