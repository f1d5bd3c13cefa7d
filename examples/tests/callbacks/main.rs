//! A subscriber of `tracing` that calls back, on every trace, into what has told it: writes, asks for
//! figures, flushes, closes without waiting, aborts. A log that goes through the family is one.
//!
//! It must come to an end: nobody waits for a lock that is held while it is called, nobody goes round
//! without end, and what happens with every event is told rarely. The subscriber is the whole
//! process's, since workers tell from their own threads; so this is a binary of its own.

mod components;

use std::{
    any::type_name,
    panic,
    sync::{
        Arc, LazyLock, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tracing::{Event, Metadata, Subscriber, span};

/// How long something may hang before that is a failure. What is sound takes a moment.
const PATIENCE: Duration = Duration::from_mins(1);
/// How many traces may tell of thousands of events.
const FEW: usize = 200;

type Act = dyn Fn() + Send + Sync;

/// Something to be called back into. It is held weakly while it is, as a log holds its queue.
struct Component {
    /// Writes, asks, flushes.
    touch: Box<Act>,
    /// Closes without waiting.
    close: Box<Act>,
    abort: Box<Act>,
    /// Has it tell of everything that it has to tell, and ends it.
    act: Box<Act>,
}

/// What the subscriber does on each trace.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    Nothing,
    Close,
    Abort,
}

/// What every trace calls.
static CALLED: Mutex<Weak<Act>> = Mutex::new(Weak::<fn()>::new());
static TRACES: AtomicUsize = AtomicUsize::new(0);
/// One at a time.
static TURN: Mutex<()> = Mutex::new(());

struct CallsBack;

impl Subscriber for CallsBack {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &Event<'_>) {
        if event.metadata().target().starts_with("events_") {
            TRACES.fetch_add(1, Ordering::Relaxed);
            let called = CALLED.lock().unwrap().upgrade();
            if let Some(called) = called {
                called();
            }
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Set up once: the subscriber, and no output for the panics that components are to get over.
static SUBSCRIBER: LazyLock<()> = LazyLock::new(|| {
    tracing::subscriber::set_global_default(CallsBack).unwrap();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(components::ON_PURPOSE) {
            hook(panic);
        }
    }));
});

/// Lets `make`'s component act while the subscriber calls back into it, whatever that does.
fn check(make: fn() -> Component) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    LazyLock::force(&SUBSCRIBER);
    for then in [Then::Nothing, Then::Close, Then::Abort] {
        let (tell, told) = mpsc::channel::<()>();
        let acting = thread::spawn(move || {
            let component = Arc::new(make());
            let inside = Arc::downgrade(&component);
            let called: Arc<Act> = Arc::new(move || {
                if let Some(component) = inside.upgrade() {
                    (component.touch)();
                    match then {
                        Then::Nothing => {}
                        Then::Close => (component.close)(),
                        Then::Abort => (component.abort)(),
                    }
                }
            });
            *CALLED.lock().unwrap() = Arc::downgrade(&called);
            TRACES.store(0, Ordering::Relaxed);
            (component.act)();
            drop(tell);
        });
        let ended = told.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Disconnected);
        assert!(ended, "{} with {then:?} hangs", type_name::<fn() -> Component>());
        acting.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        let traces = TRACES.load(Ordering::Relaxed);
        assert!((1..FEW).contains(&traces), "{traces} traces with {then:?}");
    }
}
