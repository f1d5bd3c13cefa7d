/// A setting that a builder refuses, before anything has started.
///
/// ```
/// let error = events_core::ConfigError::new("capacity", "must be at least 1, was 0");
/// assert_eq!(error.to_string(), "capacity must be at least 1, was 0");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {problem}")]
pub struct ConfigError {
    setting: &'static str,
    problem: String,
}

impl ConfigError {
    /// `setting` is the name of the builder's method, `problem` goes on from there.
    pub fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self { setting, problem: problem.into() }
    }

    /// The name of the setting at fault.
    pub const fn setting(&self) -> &'static str {
        self.setting
    }
}
