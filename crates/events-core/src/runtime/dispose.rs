//! Lets go of what is not ours, where a panic of its drop would harm others: a worker, with all the
//! sinks that share it; a writer whose event has long been taken; those who are yet to be woken.

use std::{mem::needs_drop, task::Waker};

use crate::runtime::{catch::catch, trace::TraceLimit};

static PANICS: TraceLimit = TraceLimit::new();

/// Drops `value`. A panic is told, and ends here.
#[inline]
pub fn dispose<T>(value: T) {
    if needs_drop::<T>() {
        contain(|| drop(value));
    }
}

/// Drops each of `values`, also those behind one that panics. Two that do in the drop of a whole
/// vector would end the process.
pub fn dispose_each<T>(values: Vec<T>) {
    if !needs_drop::<T>() {
        return;
    }
    let mut values = values.into_iter();
    while values.len() > 0 {
        contain(|| values.by_ref().for_each(drop));
    }
}

/// Wakes a task. What its executor does in the call is its own business.
#[inline]
pub fn wake(waker: Waker) {
    contain(|| waker.wake());
}

/// Calls what drops or wakes something. A panic is told, and ends here.
#[inline]
pub(crate) fn contain(call: impl FnOnce()) {
    if catch(call).is_err() {
        tell_of_panic();
    }
}

#[cold]
fn tell_of_panic() {
    PANICS.tell(1, |count| tracing::error!(count, "a drop or a waker panicked"));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{
        cell::Cell,
        sync::Arc,
        task::{Wake, Waker},
    };

    use super::*;

    /// Counts its drops; those of odd ones panic.
    struct Dropped<'a>(u32, &'a Cell<u32>);

    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
            assert!(self.0.is_multiple_of(2), "odd");
        }
    }

    #[test]
    fn every_one_is_dropped_though_some_panic() {
        let count = Cell::new(0);
        dispose(Dropped(1, &count));
        dispose_each((0..10).map(|number| Dropped(number, &count)).collect());
        assert_eq!(count.get(), 11);
    }

    #[test]
    fn a_waker_that_panics_keeps_no_other_asleep() {
        struct Broken;
        impl Wake for Broken {
            fn wake(self: Arc<Self>) {
                panic!("no such task");
            }
        }
        wake(Waker::from(Arc::new(Broken)));
    }
}
