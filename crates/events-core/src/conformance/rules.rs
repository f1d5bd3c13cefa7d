//! The rules, each a check of one sentence of the contract.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::{
    Kit, Outcome,
    destination::Surprise,
    trial::{Trial, WRITER},
};
use crate::{error::ErrorKind, sink::Close};

/// How long a sink that is broken has to show it. A sound one passes whatever this is.
const MOMENT: Duration = Duration::from_millis(20);

const WRITERS: u64 = 4;
const CLOSERS: usize = 4;

type Check<S> = fn(&Arc<Kit<S>>);

pub(super) const fn all<S: Close + 'static>() -> &'static [(&'static str, Check<S>)] {
    &[
        ("an open sink takes events, from many threads at once", takes_from_many),
        ("each accepted event is committed once, in its writer's order", keeps_the_account),
        ("after a close, every write is `Closed`", is_closed_after),
        ("a later close ends like the first", closes_again),
        ("a close begins when it is called and goes on if nobody waits", closes_unwaited),
        ("a write begun after `close` was called is `Closed`", refuses_later_writes),
        ("concurrent closers wait for one end and get one result", closes_together),
        ("`abort` never waits, and a close after it ends", aborts),
        ("dropping a sink does not hang", is_dropped),
        ("a write that is dropped leaves the sink sound", drops_a_write),
        ("`close` and `abort` are handed inwards", hands_inwards),
        ("a close from inside the destination does not wait for itself", closes_from_inside),
        ("a panic of the destination is got over", gets_over_a_panic),
        ("a sink that was closed and dropped lets go of its destination", lets_go),
    ]
}

fn takes_from_many<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    assert_ok("the first write to a new sink", &trial.write(WRITERS * WRITER));
    write_from_many(&trial);
    assert_ok("a close with nothing amiss", &trial.close());
}

/// Nothing that ends a moment later, such as a thread, keeps it for longer; how long that may take is
/// for the suite's patience to say.
fn lets_go<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    write_from_many(&trial);
    assert_ok("a close with nothing amiss", &trial.close());
    let Some(destination) = trial.destination().cloned().filter(|_| !kit.borrowed) else { return };
    drop(trial);
    while destination.owners() > 1 {
        thread::sleep(Duration::from_millis(1));
    }
}

fn keeps_the_account<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    write_from_many(&trial);
    assert_ok("a close with nothing amiss", &trial.close_awaited());
    trial.assert_account();
}

fn is_closed_after<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    assert_ok("the first write to a new sink", &trial.write(0));
    assert_ok("a close with nothing amiss", &trial.close());
    // Often, since a sink that chooses by chance is right now and then.
    for number in 1..100 {
        assert_closed(&trial.write(number));
    }
    trial.assert_account();
}

fn refuses_later_writes<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    let closing = AtomicBool::new(false);
    let all_write = Barrier::new(WRITERS as usize + 1);
    thread::scope(|scope| {
        let writers = (0..WRITERS).map(|writer| {
            let (trial, closing, all_write) = (&trial, &closing, &all_write);
            scope.spawn(move || {
                assert_not_closed(&trial.write(writer * WRITER));
                all_write.wait();
                for number in writer * WRITER + 1.. {
                    let late = closing.load(Ordering::SeqCst);
                    let result = trial.write(number);
                    if late {
                        assert_closed(&result);
                    }
                    if is_closed(&result) {
                        return;
                    }
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        all_write.wait();
        let end = trial.sink.close();
        closing.store(true, Ordering::SeqCst);
        let end = end.wait();
        writers.into_iter().for_each(joined);
        assert_ok("a close with nothing amiss", &end);
        assert_closed(&trial.write(WRITERS * WRITER));
    });
    trial.assert_account();
}

fn closes_again<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    assert_ok("the first write to a new sink", &trial.write(0));
    let first = trial.close();
    assert_same(&first, &trial.close());
    assert_same(&first, &trial.close_awaited());
    trial.assert_account();
}

fn closes_together<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    if let Some(destination) = trial.destination() {
        destination.block();
    }
    let (tell, ended) = mpsc::channel();
    let together = Barrier::new(CLOSERS);
    thread::scope(|scope| {
        // A sink without a buffer keeps its writer until the destination lets go.
        let writer = scope.spawn(|| (0..3).for_each(|number| drop(trial.write(number))));
        pause_until(|| writer.is_finished());
        let accepted = Arc::new(trial.accepted());
        let closers: Vec<_> = (0..CLOSERS)
            .map(|closer| {
                let (trial, accepted, tell) = (&trial, Arc::clone(&accepted), tell.clone());
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    let threads = closer % 2 == 0;
                    let result = if threads { trial.close() } else { trial.close_awaited() };
                    // Looked at before the release below, if this came back too early.
                    let committed = catch_unwind(AssertUnwindSafe(|| {
                        trial.assert_committed(&accepted);
                    }));
                    // Only the pause before the release listens.
                    let _ = tell.send(());
                    committed.unwrap_or_else(|panic| resume_unwind(panic));
                    result
                })
            })
            .collect();
        let _ = ended.recv_timeout(MOMENT);
        if let Some(destination) = trial.destination() {
            destination.release();
        }
        joined(writer);
        let results: Vec<_> = closers.into_iter().map(joined).collect();
        for result in &results {
            assert_same(&results[0], result);
        }
        assert_same(&results[0], &trial.close());
    });
}

fn closes_unwaited<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    assert_ok("the first write to a new sink", &trial.write(0));
    drop(trial.sink.close());
    assert_closed(&trial.write(1));
    assert_ok("a close with nothing amiss", &trial.close());
    trial.assert_account();
}

fn aborts<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    if let Some(destination) = trial.destination() {
        destination.block();
    }
    thread::scope(|scope| {
        let writer = scope.spawn(|| (0..3).for_each(|number| drop(trial.write(number))));
        pause_until(|| writer.is_finished());
        // The destination still blocks: an abort that waited for it would not come back.
        trial.sink.abort();
        trial.sink.abort();
        if let Some(destination) = trial.destination() {
            destination.release();
        }
        joined(writer);
    });
    // What was given up makes it an error or does not: that is the sink's to say.
    let result = trial.close();
    assert_same(&result, &trial.close_awaited());
    assert_closed(&trial.write(3));
}

fn is_dropped<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    drop(kit.trial());
    let trial = kit.trial();
    assert_ok("the first write to a new sink", &trial.write(0));
    drop(trial);
}

fn drops_a_write<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    if let Some(destination) = trial.destination() {
        destination.block();
    }
    let possible = (0..10).all(|number| trial.write_and_drop(number));
    if let Some(destination) = trial.destination() {
        destination.release();
    }
    if possible {
        assert_not_closed(&trial.write(10));
    }
    assert_ok("a close with nothing amiss", &trial.close_awaited());
    trial.assert_account();
}

fn hands_inwards<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    let Some(destination) = trial.destination() else { return };
    assert_ok("a close with nothing amiss", &trial.close());
    assert!(destination.is_closed(), "the destination is open after the close");

    let trial = kit.trial();
    let Some(destination) = trial.destination() else { return };
    // A sink that has ended may keep the abort to itself, so something is still on its way.
    destination.block();
    thread::scope(|scope| {
        let writer = scope.spawn(|| drop(trial.write(0)));
        pause_until(|| writer.is_finished());
        trial.sink.abort();
        let aborted = destination.is_aborted();
        destination.release();
        joined(writer);
        assert!(aborted, "the destination has not been aborted");
    });
}

fn closes_from_inside<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    let Some(destination) = trial.destination() else { return };
    let (tell, told) = mpsc::channel();
    let inside = Arc::downgrade(&trial);
    destination.surprise(Surprise::Wait(Box::pin(async move {
        if let Some(trial) = inside.upgrade() {
            let result = trial.sink.close().await;
            // The rule may have ended with a panic of its own.
            drop(tell.send(result));
        }
    })));
    // The destination is closed under its own hands, so what becomes of the event is open.
    drop(trial.write(0));
    // A sink that lingers writes at the close only.
    pause_until(|| !destination.has_surprise());
    assert_same(&trial.close(), &trial.close_awaited());
    let result = told.recv().expect("the destination is written to");
    let refused = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldDeadlock);
    assert!(result.is_ok() || refused, "the close inside was {result:?}");
    assert_closed(&trial.write(1));
}

fn gets_over_a_panic<S: Close + 'static>(kit: &Arc<Kit<S>>) {
    let trial = kit.trial();
    let Some(destination) = trial.destination() else { return };
    destination.surprise(Surprise::Panic);
    // A sink that calls its destination on the writer's thread may let the panic through.
    let first = catch_unwind(AssertUnwindSafe(|| trial.write(0)));
    assert!(!matches!(&first, Ok(result) if is_closed(result)), "the panic has closed the sink");
    // What lies in one batch with the first event shares its fate.
    pause_until(|| !destination.has_surprise());
    let apart = !destination.has_surprise();
    assert_ok("a write after the panic", &trial.write(1));
    assert_same(&trial.close(), &trial.close_awaited());
    if apart {
        trial.assert_committed(&[1]);
    }
}

/// Each writer writes its numbers.
fn write_from_many<S: Close>(trial: &Trial<S>) {
    thread::scope(|scope| {
        let writers = (0..WRITERS).map(|writer| {
            scope.spawn(move || {
                for number in writer * WRITER..writer * WRITER + 50 {
                    assert_not_closed(&trial.write(number));
                }
            })
        });
        writers.collect::<Vec<_>>().into_iter().for_each(joined);
    });
}

fn is_closed(result: &Outcome) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Closed)
}

fn assert_closed(result: &Outcome) {
    assert!(is_closed(result), "the write was {result:?}");
}

fn assert_not_closed(result: &Outcome) {
    assert!(!is_closed(result), "a write was {result:?} though nobody closed the sink");
}

fn assert_ok(what: &str, result: &Outcome) {
    assert!(result.is_ok(), "{what} was {result:?}");
}

fn assert_same(first: &Outcome, other: &Outcome) {
    let summary = |result: &Outcome| result.as_ref().map_err(|e| (e.kind(), e.undelivered())).err();
    assert!(summary(first) == summary(other), "one close was {first:?}, another {other:?}");
}

/// The thread's result, or its panic with the same message.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Gives threads a moment to come to an end, which they need not.
fn pause_until(ended: impl Fn() -> bool) {
    for _ in 0..MOMENT.as_millis() {
        if ended() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
