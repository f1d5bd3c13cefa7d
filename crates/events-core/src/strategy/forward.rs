//! A reference, a box and an `Arc` of a strategy are that strategy.
#![deny(clippy::missing_trait_methods)]

use std::sync::Arc;

use crate::strategy::{progress::Progress, retry_strategy::RetryStrategy, verdict::Verdict};

impl<E: ?Sized, R: ?Sized + RetryStrategy<E>> RetryStrategy<E> for &R {
    fn proceed(&self, event: &E, progress: &Progress) -> Verdict {
        (**self).proceed(event, progress)
    }

    fn success(&self, event: &E, progress: &Progress) {
        (**self).success(event, progress);
    }

    fn failure(&self, event: &E, progress: &Progress) {
        (**self).failure(event, progress);
    }

    fn release(&self, event: &E, progress: &Progress) {
        (**self).release(event, progress);
    }
}

impl<E: ?Sized, R: ?Sized + RetryStrategy<E>> RetryStrategy<E> for Box<R> {
    fn proceed(&self, event: &E, progress: &Progress) -> Verdict {
        (**self).proceed(event, progress)
    }

    fn success(&self, event: &E, progress: &Progress) {
        (**self).success(event, progress);
    }

    fn failure(&self, event: &E, progress: &Progress) {
        (**self).failure(event, progress);
    }

    fn release(&self, event: &E, progress: &Progress) {
        (**self).release(event, progress);
    }
}

impl<E: ?Sized, R: ?Sized + RetryStrategy<E>> RetryStrategy<E> for Arc<R> {
    fn proceed(&self, event: &E, progress: &Progress) -> Verdict {
        (**self).proceed(event, progress)
    }

    fn success(&self, event: &E, progress: &Progress) {
        (**self).success(event, progress);
    }

    fn failure(&self, event: &E, progress: &Progress) {
        (**self).failure(event, progress);
    }

    fn release(&self, event: &E, progress: &Progress) {
        (**self).release(event, progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_pointer_to_a_strategy_is_that_strategy() {
        fn answers<R: RetryStrategy<str>>(strategy: R) {
            let mut progress = Progress::at(Instant::now());
            for answer in [R::success, R::failure, R::release] {
                assert_eq!(strategy.proceed("", &progress), Verdict::Go);
                progress.begin(Verdict::Go);
                answer(&strategy, "", &progress);
            }
        }

        #[derive(Default)]
        struct Told(std::sync::Mutex<Vec<&'static str>>);
        impl RetryStrategy<str> for Told {
            fn proceed(&self, _event: &str, _progress: &Progress) -> Verdict {
                Verdict::Go
            }
            fn success(&self, _event: &str, _progress: &Progress) {
                self.0.lock().unwrap().push("success");
            }
            fn failure(&self, _event: &str, _progress: &Progress) {
                self.0.lock().unwrap().push("failure");
            }
            fn release(&self, _event: &str, _progress: &Progress) {
                self.0.lock().unwrap().push("release");
            }
        }

        let told = Arc::new(Told::default());
        answers(&*told);
        answers(Arc::clone(&told));
        answers(Box::new(Arc::clone(&told)) as Box<dyn RetryStrategy<str>>);
        assert_eq!(*told.0.lock().unwrap(), ["success", "failure", "release"].repeat(3));
    }
}
