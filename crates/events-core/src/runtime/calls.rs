//! Which sinks this thread is inside of, and whether it is telling operators something.
//!
//! All of it is thread-local and may be asked for in the destructor of another thread-local, where
//! a thread that ends may well write to a queue once more. A [`Cell`] has no destructor and is there
//! to the very end; what has one is looked at with `try_with` alone, and done without when it is gone.

use std::cell::{Cell, RefCell};

use crate::runtime::sync::thread_local;

thread_local! {
    /// The delivery whose sink is being called on this thread; 0 is none.
    static INNERMOST: Cell<usize> = const { Cell::new(0) };
}

thread_local! {
    /// Those whose sinks are in the middle of that call, outermost first.
    static OUTER: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

thread_local! {
    /// Whether a trace of the family is under way.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// Marks a delivery as running on this thread until dropped.
pub(crate) struct Running {
    outer: usize,
}

impl Running {
    #[inline]
    pub(crate) fn enter(delivery: usize) -> Self {
        let outer = INNERMOST.replace(delivery);
        if outer != 0 {
            // Without the list, the outer deliveries are not recognised: they are waited for.
            let _gone = OUTER.try_with(|all| all.borrow_mut().push(outer));
        }
        Self { outer }
    }
}

impl Drop for Running {
    #[inline]
    fn drop(&mut self) {
        INNERMOST.set(self.outer);
        if self.outer != 0 {
            let _gone = OUTER.try_with(|all| all.borrow_mut().pop());
        }
    }
}

/// Whether this very call comes from inside a sink that `delivery` is calling.
#[inline]
pub(crate) fn is_inside(delivery: usize) -> bool {
    let is_outer = |all: &RefCell<Vec<_>>| all.borrow().contains(&delivery);
    INNERMOST.get() == delivery || OUTER.try_with(is_outer).unwrap_or(false)
}

/// All sinks that this very call comes from inside of.
pub(crate) fn all() -> Vec<usize> {
    let innermost = INNERMOST.get();
    if innermost == 0 {
        return Vec::new();
    }
    let mut all = OUTER.try_with(|all| all.borrow().clone()).unwrap_or_default();
    all.push(innermost);
    all
}

/// Whether this very call comes from inside any sink that somebody delivers to.
pub(crate) fn is_inside_any() -> bool {
    INNERMOST.get() != 0
}

/// Marks this thread as telling something until dropped.
pub(crate) struct Telling(());

impl Telling {
    /// `None` if the thread is telling something already: a subscriber has called back.
    pub(crate) fn enter() -> Option<Self> {
        (!TELLING.replace(true)).then(|| Self(()))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        TELLING.set(false);
    }
}

/// Whether this very call comes from inside a trace of the family.
pub(crate) fn is_telling() -> bool {
    TELLING.get()
}
