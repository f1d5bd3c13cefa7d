use std::{fmt, str::FromStr};

/// The name of one stored event: the same in every delivery of it, in every run, also after it was
/// a dead letter, and no other event's.
///
/// It is what a receiver needs to drop repeats: send it as an idempotency key, `webhook-id` or
/// `ce-id`. As text it is the random number of the file, in hexadecimal, and that of the event.
///
/// ```
/// use events_durable::EventId;
///
/// let id: EventId = "00c0ffee00c0ffee-42".parse()?;
/// assert_eq!(id.number(), 42);
/// assert_eq!(id.to_string(), "00c0ffee00c0ffee-42");
/// # Ok::<(), events_durable::ParseEventIdError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    file: u64,
    number: u64,
}

impl EventId {
    pub(crate) const fn new(file: u64, number: u64) -> Self {
        Self { file, number }
    }

    /// The random number of the file that the event was first written to.
    pub const fn file(self) -> u64 {
        self.file
    }

    /// The event's number in that file, from 1 on, in the order of the writes.
    pub const fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.file, self.number)
    }
}

/// A text that is no [`EventId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event's id is 16 hexadecimal digits, a hyphen and a number")]
pub struct ParseEventIdError(());

impl FromStr for EventId {
    type Err = ParseEventIdError;

    fn from_str(text: &str) -> Result<Self, ParseEventIdError> {
        let refused = ParseEventIdError(());
        let (file, number) = text.split_once('-').ok_or(refused)?;
        let file = (file.len() == 16).then(|| u64::from_str_radix(file, 16).ok()).flatten();
        let number = number.parse().ok();
        Ok(Self { file: file.ok_or(refused)?, number: number.ok_or(refused)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "-", "1-1", "00c0ffee00c0ffee", "00c0ffee00c0ffee-", "00c0ffee00c0ffez-1"]
        {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}
