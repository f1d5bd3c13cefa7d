//! Sinks that break one rule each, and must be found out by that rule.

use std::{
    collections::HashSet,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::{Destination, Suite, message};
use crate::{
    closing::Closing,
    error::{ErrorKind, SinkError},
    gate::Gate,
    runtime::park::block_on,
    sink::{AsyncSink, Close, Sink},
    sinks::memory::Memory,
};

/// Which rule is to be broken, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    AcceptsAfterClose,
    AcceptsByChance,
    AcceptsFromKnownThreads,
    SecondCloseEarly,
    SecondCloseDiffers,
    CloseDeadlocks,
    CloseIsLazy,
    LosesOne,
    KeepsTwice,
    Reorders,
    RefusesYetKeeps,
    NeverTakes,
    AbortWaits,
    DropHangs,
}

/// A sink that buffers and writes it all at the close, with a fault.
struct Faulty {
    fault: Fault,
    gate: Gate,
    count: AtomicU64,
    buffer: Mutex<Vec<u64>>,
    committed: Arc<Mutex<Vec<u64>>>,
    flushed: Mutex<Option<bool>>,
    known: Mutex<HashSet<ThreadId>>,
    end: Condvar,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            gate: Gate::new(),
            count: AtomicU64::new(0),
            buffer: Mutex::default(),
            committed: Arc::default(),
            flushed: Mutex::new(None),
            known: Mutex::default(),
            end: Condvar::new(),
        }
    }

    fn flush(&self) {
        let mut flushed = self.flushed.lock();
        match *flushed {
            None => {
                *flushed = Some(false);
                drop(flushed);
                if self.fault == Fault::SecondCloseEarly {
                    thread::sleep(Duration::from_millis(100));
                }
                self.committed.lock().extend(mem::take(&mut *self.buffer.lock()));
                *self.flushed.lock() = Some(true);
                self.end.notify_all();
            }
            Some(false) if self.fault != Fault::SecondCloseEarly => {
                self.end.wait_while(&mut flushed, |flushed| *flushed != Some(true));
            }
            Some(_) => {}
        }
    }
}

impl Close for Faulty {
    fn close(&self) -> Closing<'_> {
        let mut first = true;
        if self.fault != Fault::CloseIsLazy {
            let _buffer = self.buffer.lock();
            first = self.gate.close();
            self.known.lock().remove(&thread::current().id());
        }
        let mut begun = false;
        Closing::new(async move {
            if mem::replace(&mut begun, true) {
                return Ok(());
            }
            if self.fault == Fault::CloseIsLazy {
                let _buffer = self.buffer.lock();
                first = self.gate.close();
            }
            self.flush();
            match self.fault {
                Fault::CloseDeadlocks => std::future::pending().await,
                Fault::SecondCloseDiffers if !first => Err(SinkError::closed()),
                _ => Ok(()),
            }
        })
    }

    fn abort(&self) {
        if self.fault == Fault::AbortWaits {
            block_on(std::future::pending::<()>());
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        if self.fault == Fault::DropHangs && self.gate.check().is_ok() {
            block_on(std::future::pending::<()>());
        }
    }
}

impl Sink<u64> for Faulty {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        let mut buffer = self.buffer.lock();
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        if self.fault == Fault::NeverTakes {
            return Err(SinkError::full());
        }
        match (self.gate.check(), self.fault) {
            (Err(_), Fault::AcceptsAfterClose) => return Ok(()),
            (Err(_), Fault::AcceptsByChance) if count.is_multiple_of(2) => return Ok(()),
            (Err(_), Fault::AcceptsFromKnownThreads)
                if self.known.lock().contains(&thread::current().id()) =>
            {
                return Ok(());
            }
            (result, _) => result?,
        }
        self.known.lock().insert(thread::current().id());
        match self.fault {
            Fault::LosesOne if count == 30 => {}
            Fault::KeepsTwice if count == 30 => buffer.extend([*event, *event]),
            Fault::Reorders => buffer.insert(0, *event),
            Fault::RefusesYetKeeps if count == 30 => {
                buffer.push(*event);
                return Err(SinkError::full());
            }
            _ => buffer.push(*event),
        }
        Ok(())
    }
}

impl AsyncSink<u64> for Faulty {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        Sink::write(self, event)
    }
}

fn failure(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("the suite finds the fault");
    message(&*panic).to_owned()
}

fn assert_found(fault: Fault, rule: &str) {
    let committed = |sink: &Faulty| sink.committed.lock().clone();
    // Long for the faults that are seen, short for those that hang.
    let hangs = matches!(fault, Fault::CloseDeadlocks | Fault::AbortWaits | Fault::DropHangs);
    let patience = Duration::from_millis(if hangs { 300 } else { 30_000 });
    let threads = Suite::sink(move || Faulty::new(fault), |number| number);
    let tasks = Suite::async_sink(move || Faulty::new(fault), |number| number);
    for suite in [threads, tasks] {
        let found = failure(|| suite.observed(committed).patience(patience).run());
        assert!(found.starts_with(rule), "expected: {rule}\n   found: {found}");
    }
}

#[test]
fn a_sound_sink_passes() {
    let make = || Faulty::new(Fault::None);
    Suite::sink(make, |number| number).observed(|sink| sink.committed.lock().clone()).run();
    Suite::async_sink(make, |number| number).observed(|sink| sink.committed.lock().clone()).run();
}

#[test]
fn a_sink_that_takes_nothing_is_found() {
    assert_found(Fault::NeverTakes, "an open sink takes events");
}

#[test]
fn a_sink_that_loses_repeats_reorders_or_lies_is_found() {
    for fault in [Fault::LosesOne, Fault::KeepsTwice, Fault::Reorders, Fault::RefusesYetKeeps] {
        assert_found(fault, "each accepted event is committed once");
    }
}

#[test]
fn order_counts_unless_told_otherwise_and_nothing_else_is_let_pass() {
    let suite = |fault| {
        let suite = Suite::sink(move || Faulty::new(fault), |number| number);
        suite.observed(|sink| sink.committed.lock().clone()).unordered()
    };
    suite(Fault::Reorders).run();
    for fault in [Fault::LosesOne, Fault::KeepsTwice, Fault::RefusesYetKeeps] {
        let found = failure(|| suite(fault).run());
        assert!(found.starts_with("each accepted event is committed once"), "{found}");
    }
}

#[test]
fn a_sink_that_accepts_after_its_close_is_found() {
    assert_found(Fault::AcceptsAfterClose, "after a close, every write is `Closed`");
    assert_found(Fault::AcceptsByChance, "after a close, every write is `Closed`");
}

#[test]
fn a_sink_that_goes_on_with_those_who_write_already_is_found() {
    assert_found(Fault::AcceptsFromKnownThreads, "a write begun after `close` was called");
}

#[test]
fn a_close_that_begins_when_it_is_waited_for_is_found() {
    assert_found(Fault::CloseIsLazy, "a close begins when it is called");
}

#[test]
fn a_second_close_that_comes_back_early_or_differs_is_found() {
    assert_found(Fault::SecondCloseEarly, "concurrent closers wait for one end");
    assert_found(Fault::SecondCloseDiffers, "a later close ends like the first");
}

#[test]
fn a_sink_that_hangs_is_found() {
    assert_found(Fault::CloseDeadlocks, "an open sink takes events");
    assert_found(Fault::AbortWaits, "`abort` never waits");
    assert_found(Fault::DropHangs, "dropping a sink does not hang");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    KeepsClose,
    KeepsAbort,
    WaitsInside,
    StopsAtPanic,
}

/// A wrapper that keeps its close to itself, waits for itself, or stops at a panic.
struct Wrapper {
    destination: Destination,
    gate: Gate,
    flaw: Flaw,
    stopped: AtomicBool,
    writing: Mutex<()>,
}

impl Wrapper {
    fn new(destination: Destination, flaw: Flaw) -> Self {
        Self {
            destination,
            gate: Gate::new(),
            flaw,
            stopped: AtomicBool::new(false),
            writing: Mutex::new(()),
        }
    }
}

impl Close for Wrapper {
    fn close(&self) -> Closing<'_> {
        self.gate.close();
        if self.flaw == Flaw::WaitsInside {
            drop(self.writing.lock());
        }
        if self.flaw == Flaw::KeepsClose { Closing::done() } else { self.destination.close() }
    }

    fn abort(&self) {
        if self.flaw != Flaw::KeepsAbort {
            self.destination.abort();
        }
    }
}

impl Sink<u64> for Wrapper {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        self.gate.check()?;
        let _turn = (self.flaw == Flaw::WaitsInside).then(|| self.writing.lock());
        if self.stopped.load(Ordering::Relaxed) {
            return Err(SinkError::full());
        }
        let written =
            catch_unwind(AssertUnwindSafe(|| Sink::<u64>::write(&self.destination, event)));
        written.unwrap_or_else(|_| {
            self.stopped.store(self.flaw == Flaw::StopsAtPanic, Ordering::Relaxed);
            Err(SinkError::from(ErrorKind::Rejected))
        })
    }
}

fn wrapper_failure(flaw: Flaw) -> String {
    let suite = Suite::wrapper(move |destination| Wrapper::new(destination, flaw));
    failure(|| suite.patience(Duration::from_secs(2)).run())
}

#[test]
fn a_sound_wrapper_passes() {
    Suite::wrapper(|destination| Wrapper::new(destination, Flaw::None)).run();
}

#[test]
fn a_wrapper_that_keeps_its_close_or_abort_to_itself_is_found() {
    let rule = "`close` and `abort` are handed inwards";
    assert!(wrapper_failure(Flaw::KeepsClose).starts_with(rule));
    assert!(wrapper_failure(Flaw::KeepsAbort).starts_with(rule));
}

#[test]
fn a_wrapper_that_stops_at_a_panic_is_found() {
    let found = wrapper_failure(Flaw::StopsAtPanic);
    assert!(found.starts_with("a panic of the destination is got over"), "{found}");
}

#[test]
fn a_close_that_waits_for_the_write_it_is_in_is_found() {
    let found = wrapper_failure(Flaw::WaitsInside);
    assert!(found.starts_with("a close from inside the destination"), "{found}");
}

#[test]
fn what_an_unsized_sink_takes_can_be_named() {
    Suite::sink::<str, String>(Memory::<str>::new, |number| number.to_string())
        .observed(|memory| memory.events().iter().map(|event| event.parse().unwrap()).collect())
        .run();
}
