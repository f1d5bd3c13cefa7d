//! Keeps a panic where it happened.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Calls what is not ours. A panic ends here, as its message.
#[inline]
pub(crate) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    if cfg!(loom) {
        // In a model a panic is what the model checker has found, which nobody is to hide.
        return Ok(call());
    }
    catch_unwind(AssertUnwindSafe(call)).map_err(message)
}

#[cold]
fn message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("no message").to_owned();
    // What was thrown may throw when it is dropped, and so may that: the second one is forgotten.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    message
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::panic_any;

    use super::*;

    struct Thrown;

    impl Drop for Thrown {
        fn drop(&mut self) {
            panic_any(Self);
        }
    }

    #[test]
    fn what_is_thrown_may_throw_when_it_is_dropped() {
        assert_eq!(catch(|| panic_any(Thrown)), Err::<(), _>("no message".to_owned()));
        assert_eq!(catch(|| panic!("at {}", 1)), Err::<(), _>("at 1".to_owned()));
        assert_eq!(catch(|| 1), Ok(1));
    }
}
