use std::time::Duration;

/// What a [`RetryStrategy`](crate::RetryStrategy) says about a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try it now.
    Go,
    /// Try it now. The answer will tell how the destination is: see [`is_probe`](crate::Progress::is_probe).
    Probe,
    /// Ask again after this long, or when another write has got its answer.
    Wait(Duration),
    /// It is not worth another attempt.
    GiveUp,
}
