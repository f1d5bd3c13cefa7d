use std::sync::atomic::{AtomicU64, Ordering};

/// What an [`HttpSink`](crate::HttpSink) has sent, and how it was answered.
///
/// A snapshot: `attempts` is the sum of all the others and the requests that are in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpStats {
    /// Requests begun.
    pub attempts: u64,
    /// Answers from 100 to 199 that were final, of which a webhook has no use.
    pub informational: u64,
    /// Answers from 200 to 299: events that were taken.
    pub success: u64,
    /// Answers from 300 to 399: redirects, which are not followed.
    pub redirection: u64,
    /// Answers from 400 to 499.
    pub client_error: u64,
    /// Answers from 500 up.
    pub server_error: u64,
    /// Requests that ended without an answer: no connection, a timeout, a reset, an abort.
    pub unanswered: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    attempts: AtomicU64,
    /// By the hundreds of the status; the first are those without an answer.
    ended: [AtomicU64; 6],
}

impl Counts {
    pub(crate) fn begin(&self) -> Attempt<'_> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        Attempt { counts: self, class: 0 }
    }

    pub(crate) fn snapshot(&self) -> HttpStats {
        // What has ended is read first: then `attempts` can only be ahead of it.
        let [unanswered, informational, success, redirection, client_error, server_error] =
            std::array::from_fn(|class| self.ended[class].load(Ordering::Acquire));
        let attempts = self.attempts.load(Ordering::Relaxed);
        HttpStats {
            attempts,
            informational,
            success,
            redirection,
            client_error,
            server_error,
            unanswered,
        }
    }
}

/// A request on its way; one that is dropped before its answer counts as unanswered.
pub(crate) struct Attempt<'a> {
    counts: &'a Counts,
    class: usize,
}

impl Attempt<'_> {
    pub(crate) fn answered(mut self, status: u16) {
        self.class = usize::from(status / 100).min(5);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.counts.ended[self.class].fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_ends_in_one_class() {
        let counts = Counts::default();
        for status in [101, 204, 308, 410, 503, 999] {
            counts.begin().answered(status);
        }
        drop(counts.begin());
        let in_flight = counts.begin();
        let expected = HttpStats {
            attempts: 8,
            informational: 1,
            success: 1,
            redirection: 1,
            client_error: 1,
            server_error: 2,
            unanswered: 1,
        };
        assert_eq!(counts.snapshot(), expected);
        drop(in_flight);
        assert_eq!(counts.snapshot(), HttpStats { unanswered: 2, ..expected });
    }
}
