//! What the model checker puts in the place of real primitives, where its own are not like them.
//!
//! An `Arc` stays the real one: wakers and trait objects need it, and what it holds is safe code
//! whose every shared word is modelled.

use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
    sync::atomic,
    thread::AccessError,
};

use loom::sync::atomic::{AtomicBool, Ordering};

/// A lock like `parking_lot`'s.
#[derive(Debug, Default)]
pub struct Mutex<T> {
    inner: loom::sync::Mutex<T>,
    /// Whether somebody has it who tried. In loom's own lock a try waits for one who was quicker,
    /// and never sees an old state, as a real one may.
    tried: AtomicBool,
}

impl<T> Mutex<T> {
    /// An open lock.
    pub fn new(value: T) -> Self {
        Self { inner: loom::sync::Mutex::new(value), tried: AtomicBool::new(false) }
    }

    /// Waits for the lock.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { inner: self.inner.lock().expect("no panic under a lock"), tried: None }
    }

    /// The lock, if nobody has it who tried; it waits for one who has waited for it himself.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let Self { inner, tried } = self;
        let ours = !tried.load(Ordering::Relaxed)
            && tried.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let inner = ours.then(|| inner.lock().expect("no panic under a lock"))?;
        Some(MutexGuard { inner, tried: Some(tried) })
    }
}

/// Releases a [`Mutex`] when dropped.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    inner: loom::sync::MutexGuard<'a, T>,
    tried: Option<&'a AtomicBool>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if let Some(tried) = self.tried {
            tried.store(false, Ordering::Release);
        }
    }
}

/// A flag that may stand in a constant. Loom has none, so only the [default](Self::default) one is
/// modelled; a constant one is for what no model looks at.
#[derive(Debug)]
pub(crate) enum Flag {
    Plain(atomic::AtomicBool),
    Modelled(AtomicBool),
}

impl Flag {
    pub(crate) const fn new(up: bool) -> Self {
        Self::Plain(atomic::AtomicBool::new(up))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        match self {
            Self::Plain(flag) => flag.load(order),
            Self::Modelled(flag) => flag.load(order),
        }
    }

    pub(crate) fn swap(&self, up: bool, order: Ordering) -> bool {
        match self {
            Self::Plain(flag) => flag.swap(up, order),
            Self::Modelled(flag) => flag.swap(up, order),
        }
    }
}

impl Default for Flag {
    fn default() -> Self {
        Self::Modelled(AtomicBool::new(false))
    }
}

/// Parking. Loom's own ends a wait for a lock as well, which no thread does.
pub(crate) mod thread {
    use std::{sync::Arc, time::Duration};

    use loom::sync::Notify;

    loom::thread_local! {
        static CURRENT: Thread = Thread(Arc::new(Notify::new()));
    }

    #[derive(Debug, Clone)]
    pub(crate) struct Thread(Arc<Notify>);

    impl Thread {
        #[track_caller]
        pub(crate) fn unpark(&self) {
            self.0.notify();
        }
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Thread::clone)
    }

    #[track_caller]
    pub(crate) fn park() {
        current().0.wait();
    }

    /// In a model no time passes.
    pub(crate) fn park_timeout(_timeout: Duration) {
        park();
    }
}

/// One value for each modelled thread, of which all run on one real thread.
pub(crate) struct LocalKey<T: 'static>(pub(crate) &'static loom::thread::LocalKey<T>);

impl<T: Copy> LocalKey<Cell<T>> {
    pub(crate) fn get(&'static self) -> T {
        self.0.with(Cell::get)
    }

    pub(crate) fn set(&'static self, value: T) {
        self.0.with(|cell| cell.set(value));
    }

    pub(crate) fn replace(&'static self, value: T) -> T {
        self.0.with(|cell| cell.replace(value))
    }
}

impl<T> LocalKey<T> {
    /// In a model a thread-local lives as long as its thread.
    #[expect(clippy::unnecessary_wraps, reason = "as std's")]
    pub(crate) fn try_with<R>(&'static self, look: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        Ok(self.0.with(look))
    }
}

macro_rules! local {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = const { $init:expr };) => {
        $(#[$attribute])*
        static $name: $crate::runtime::sync::LocalKey<$type> = {
            loom::thread_local! { static KEY: $type = $init; }
            $crate::runtime::sync::LocalKey(&KEY)
        };
    };
}
pub(crate) use local as thread_local;
