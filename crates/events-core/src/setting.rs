//! What builders refuse, said once.

use std::time::Duration;

use crate::config_error::ConfigError;

/// A longer pause between two attempts is a mistake, such as milliseconds taken for seconds.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_hours(24);
/// No write is tried for longer than this.
pub(crate) const LONGEST_LIMIT: Duration = Duration::from_hours(365 * 24);
/// How long a destination may ask to be left alone, unless said otherwise.
pub(crate) const RETRY_AFTER_LIMIT: Duration = Duration::from_hours(1);

pub(crate) fn at_least_one(setting: &'static str, count: u32) -> Result<(), ConfigError> {
    if count == 0 {
        return Err(ConfigError::new(setting, "must be at least 1, was 0"));
    }
    Ok(())
}

pub(crate) fn more_than_zero(setting: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        return Err(ConfigError::new(setting, "must be more than zero"));
    }
    Ok(())
}

pub(crate) fn at_most(
    setting: &'static str,
    value: Duration,
    longest: Duration,
) -> Result<(), ConfigError> {
    if value > longest {
        let problem = format!("must be at most {longest:?}, was {value:?}");
        return Err(ConfigError::new(setting, problem));
    }
    Ok(())
}
