use std::time::Duration;

use events_core::{Breaker, Sink};
use events_retry::Retry;

use crate::{
    Counter, Event,
    contest::{Contest, Job},
};

/// Retry behind a breaker, over a sink that always succeeds.
pub fn retry(events: usize) -> Vec<Contest> {
    let prepare = move || -> Job {
        let breaker = Breaker::new(5, Duration::from_secs(1)).expect("is valid");
        let retry = Retry::new(Counter::default(), breaker);
        let event = Event::sample();
        Box::new(move || {
            for _ in 0..events {
                retry.write(&event).expect("succeeds");
            }
            Box::new(move || assert_eq!(retry.get_ref().count(), events as u64))
        })
    };
    vec![Contest::new("retry/success", "events", events, prepare)]
}
