/// What is written: a small notification, by value.
///
/// By value, since one `Arc` written again and again would have writer and readers fight for its
/// count, as no program's events do.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its number.
    pub id: u64,
    /// What it says.
    pub payload: [u8; 48],
}

impl Event {
    /// The one that a contest writes again and again.
    pub const fn sample() -> Self {
        Self { id: 1, payload: [0; 48] }
    }
}
