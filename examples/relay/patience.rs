//! When an endpoint that fails is given up.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use events_core::{Breaker, ConfigError, MaxElapsed, Progress, RetryStrategy, Verdict};

use crate::config::Settings;

/// How soon an endpoint that is left alone learns that it may be given up.
const LOOK: Duration = Duration::from_millis(200);

/// Gives up an endpoint that has failed for so long, but only once that is allowed.
pub struct Patience {
    limited: MaxElapsed<Breaker>,
    may_give_up: AtomicBool,
}

impl Patience {
    pub fn new(settings: &Settings, may_give_up: bool) -> Result<Self, ConfigError> {
        let breaker = Breaker::new(settings.threshold, settings.backoff)?;
        let limited = MaxElapsed::new(breaker, settings.give_up)?;
        Ok(Self { limited, may_give_up: AtomicBool::new(may_give_up) })
    }

    /// From now on.
    pub fn allow_giving_up(&self) {
        self.may_give_up.store(true, Ordering::Release);
    }
}

impl<E: ?Sized> RetryStrategy<E> for Patience {
    fn proceed(&self, event: &E, progress: &Progress) -> Verdict {
        if self.may_give_up.load(Ordering::Acquire) {
            return self.limited.proceed(event, progress);
        }
        match self.limited.get_ref().proceed(event, progress) {
            Verdict::Wait(wait) => Verdict::Wait(wait.min(LOOK)),
            verdict => verdict,
        }
    }

    fn success(&self, event: &E, progress: &Progress) {
        self.limited.success(event, progress);
    }

    fn failure(&self, event: &E, progress: &Progress) {
        self.limited.failure(event, progress);
    }

    fn release(&self, event: &E, progress: &Progress) {
        self.limited.release(event, progress);
    }
}
