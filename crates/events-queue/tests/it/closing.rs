//! The close of a queue: what it waits for, who may wait, and what it tells.

use std::{
    sync::{Arc, Barrier, mpsc},
    thread,
    time::Duration,
};

use events_core::{
    AsyncSink, Close, Closing, ErrorKind, Memory, Sink, SinkError, engine::park::block_on, sink_fn,
};
use events_queue::{DeadLetter, Queue};
use parking_lot::Mutex;

use crate::support::{
    HANG, Script, assert_kind, assert_stats, assert_undelivered, in_time, poll_once,
};

/// The seed's own test: 1,000 concurrent writes through a slow sink all arrive, and the sink is
/// closed after.
#[test]
fn seed_keep_test_queue() {
    struct Slow(Memory<u64>);
    impl Close for Slow {
        fn close(&self) -> Closing<'_> {
            self.0.close()
        }
    }
    impl Sink<u64> for Slow {
        fn write(&self, event: &u64) -> Result<(), SinkError> {
            thread::sleep(Duration::from_micros(*event % 50));
            Sink::write(&self.0, event)
        }
    }
    let slow = Arc::new(Slow(Memory::new()));
    let queue = Queue::spawn(Arc::clone(&slow));
    thread::scope(|scope| {
        for writer in 0..100 {
            let queue = &queue;
            scope.spawn(move || {
                for event in writer * 10..writer * 10 + 10 {
                    Sink::write(queue, &event).unwrap();
                }
            });
        }
    });
    let queue = in_time(move || {
        queue.close().wait().unwrap();
        queue
    });
    let mut events = slow.0.take();
    events.sort_unstable();
    assert_eq!(events, (0..1_000).collect::<Vec<_>>());
    assert_kind(Sink::write(&slow.0, &0), ErrorKind::Closed);
    assert_kind(Sink::write(&queue, &0), ErrorKind::Closed);
}

#[test]
fn seed_01_an_absent_event_is_no_special_case() {
    let memory = Arc::new(Memory::new());
    let queue = Queue::spawn(Arc::clone(&memory));
    Sink::write(&queue, &None::<u64>).unwrap();
    queue.close().wait().unwrap();
    assert_eq!(memory.take(), [None]);
}

#[test]
fn seed_05_all_closers_wait_for_one_end_and_get_one_result() {
    /// Its close fails, and is asked for once the writes are done.
    struct Failing(Script);
    impl Close for Failing {
        fn close(&self) -> Closing<'_> {
            drop(self.0.close());
            Closing::ended(Err(SinkError::unavailable("the disk is full")))
        }
    }
    impl Sink<u64> for Failing {
        fn write(&self, event: &u64) -> Result<(), SinkError> {
            Sink::write(&self.0, event)
        }
    }
    let script = Script::new().shut();
    let queue = Queue::spawn(Failing(script.clone()));
    Sink::write(&queue, &0).unwrap();
    Sink::write(&queue, &1).unwrap();
    script.entered();
    let mut task = queue.close();
    assert!(poll_once(&mut task).is_pending());
    let begun = Arc::new(Barrier::new(4));
    let closers: Vec<_> = (0..3)
        .map(|_| {
            let (queue, script, begun) = (queue.clone(), script.clone(), Arc::clone(&begun));
            thread::spawn(move || {
                let closing = queue.close();
                begun.wait();
                (closing.wait(), script.delivered())
            })
        })
        .collect();
    begun.wait();
    script.open();
    for closer in closers {
        let (result, delivered) = in_time(|| closer.join().unwrap());
        assert_kind(result, ErrorKind::Unavailable);
        assert_eq!(delivered, [0, 1], "the close ended before the flush");
    }
    assert_kind(block_on(task), ErrorKind::Unavailable);
    assert_kind(queue.close().wait(), ErrorKind::Unavailable);
    assert_kind(queue.close_within(Duration::ZERO).wait(), ErrorKind::Unavailable);
}

/// A sink that is given its own queue and does something with it in its first write.
struct Inside<R> {
    queue: Mutex<Option<mpsc::Receiver<Queue<u64>>>>,
    act: fn(&Queue<u64>) -> R,
    told: mpsc::Sender<R>,
    memory: Memory<u64>,
}

impl<R: Send> Close for Inside<R> {}

impl<R: Send> Sink<u64> for Inside<R> {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        if let Some(queue) = self.queue.lock().take() {
            let queue = queue.recv_timeout(HANG).unwrap();
            self.told.send((self.act)(&queue)).unwrap();
        }
        Sink::write(&self.memory, event)
    }
}

impl<R: Send> AsyncSink<u64> for Inside<R> {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        Sink::write(self, event)
    }
}

/// What `act` was told inside, and what the queue delivered.
fn inside<R: Send + 'static>(act: fn(&Queue<u64>) -> R) -> (R, Vec<u64>) {
    let (give, given) = mpsc::channel();
    let (told, tell) = mpsc::channel();
    let memory = Memory::new();
    let sink = Arc::new(Inside { queue: Mutex::new(Some(given)), act, told, memory });
    let queue = Queue::spawn(Arc::clone(&sink));
    Sink::write(&queue, &0).unwrap();
    Sink::write(&queue, &1).unwrap();
    give.send(queue.clone()).unwrap();
    let result = tell.recv_timeout(HANG).expect("it comes back");
    in_time(move || queue.close().wait()).unwrap();
    (result, sink.memory.take())
}

#[test]
fn seed_07_closing_from_inside_the_sink_returns_and_the_close_goes_on() {
    let (result, delivered) = inside(|queue| {
        let refused = queue.close().wait();
        assert_kind(Sink::write(queue, &2), ErrorKind::Closed);
        refused
    });
    assert_kind(result, ErrorKind::WouldDeadlock);
    assert_eq!(delivered, [0, 1]);
}

#[test]
fn flushing_or_closing_by_a_deadline_from_inside_the_sink_returns() {
    let (result, delivered) = inside(|queue| queue.flush().wait());
    assert_kind(result, ErrorKind::WouldDeadlock);
    assert_eq!(delivered, [0, 1]);
    let (result, _) = inside(|queue| queue.close_within(Duration::from_hours(1)).wait());
    assert_kind(result, ErrorKind::WouldDeadlock);
}

#[test]
fn writing_from_inside_the_sink_is_a_write_like_any_other() {
    let (result, delivered) = inside(|queue| Sink::write(queue, &2));
    result.unwrap();
    assert_eq!(delivered, [0, 1, 2]);
}

#[test]
fn dropping_the_last_handle_inside_the_sink_does_not_hang() {
    let script = Script::new();
    let held: Arc<Mutex<Option<Queue<u64>>>> = Arc::default();
    let dropper = {
        let (held, script) = (Arc::clone(&held), script.clone());
        Script::answering(move |event| {
            drop(held.lock().take());
            Sink::write(&script, &event)
        })
        .shut()
    };
    let queue = Queue::spawn(dropper.clone());
    Sink::write(&queue, &0).unwrap();
    Sink::write(&queue, &1).unwrap();
    *held.lock() = Some(queue);
    dropper.open();
    assert_eq!([script.entered(), script.entered()], [0, 1]);
}

#[test]
fn seed_08_a_queue_turns_closed_with_its_destination() {
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let script = Script::answering(|_| Err(SinkError::closed())).shut();
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(script.clone()).unwrap();
    for event in 0..3 {
        Sink::write(&queue, &event).unwrap();
    }
    script.entered();
    script.open();
    assert_kind(
        in_time({
            let queue = queue.clone();
            move || queue.close().wait()
        }),
        ErrorKind::Closed,
    );
    assert_kind(Sink::write(&queue, &3), ErrorKind::Closed);
    assert_stats(&queue, [3, 0, 3, 0, 0, 0]);
    let letters = dead.take();
    assert_eq!(letters.iter().map(|letter| letter.event).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(letters.iter().all(|letter| letter.error.kind() == ErrorKind::Closed));
}

#[test]
fn a_destination_that_closes_closes_its_queue_without_a_close() {
    let script = Script::answering(|_| Err(SinkError::closed()));
    let queue = Queue::spawn(script.clone());
    Sink::write(&queue, &0).unwrap();
    script.entered();
    crate::support::until(|| Sink::write(&queue, &1).is_err());
    assert_kind(Sink::write(&queue, &2), ErrorKind::Closed);
}

#[test]
fn seed_11_the_last_handles_drop_delivers_all_and_ends_the_worker() {
    let memory = Arc::new(Memory::new());
    let held = Arc::downgrade(&memory);
    let queue = Queue::spawn(memory);
    let clone = queue.clone();
    drop(queue);
    for event in 0..100_u64 {
        Sink::write(&clone, &event).unwrap();
    }
    let memory = held.upgrade().unwrap();
    drop(clone);
    // The worker lets go of the sink when its thread ends.
    crate::support::until(|| Arc::strong_count(&memory) == 1);
    assert_eq!(memory.take(), (0..100).collect::<Vec<_>>());
    assert_kind(Sink::write(&*memory, &0), ErrorKind::Closed);
}

#[test]
fn a_close_concurrent_with_writes_delivers_the_accepted_and_refuses_the_others() {
    for _ in 0..20 {
        let memory = Arc::new(Memory::new());
        let queue = Queue::builder().capacity(4).spawn(Arc::clone(&memory)).unwrap();
        let begun = Barrier::new(5);
        let accepted = thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let (queue, begun) = (&queue, &begun);
                    scope.spawn(move || {
                        begun.wait();
                        let mut accepted = Vec::new();
                        for event in writer << 32.. {
                            match Sink::write(queue, &event) {
                                Ok(()) => accepted.push(event),
                                Err(error) => {
                                    assert_eq!(error.kind(), ErrorKind::Closed);
                                    return accepted;
                                }
                            }
                        }
                        accepted
                    })
                })
                .collect();
            begun.wait();
            queue.close().wait().unwrap();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<u64>>()
        });
        let mut delivered = memory.take();
        delivered.sort_unstable();
        assert_eq!(delivered, accepted);
        let count = accepted.len() as u64;
        assert_stats(&queue, [count, count, 0, 0, 0, 0]);
    }
}

#[test]
fn flush_is_a_barrier_and_the_queue_stays_open() {
    let script = Script::new().shut();
    let queue = Queue::spawn(script.clone());
    Sink::write(&queue, &0).unwrap();
    script.entered();
    let mut flush = queue.flush();
    assert!(poll_once(&mut flush).is_pending());
    // Written after the flush began: it does not wait for these.
    Sink::write(&queue, &1).unwrap();
    script.pass();
    assert_eq!(script.entered(), 1);
    block_on(flush).unwrap();
    assert_eq!(script.delivered(), [0]);
    script.open();
    queue.close().wait().unwrap();
    assert_eq!(script.delivered(), [0, 1]);
    queue.flush().wait().unwrap();
}

#[test]
fn seed_29_debug_is_safe_while_the_worker_works_and_shows_no_event() {
    let memory = Arc::new(Memory::new());
    let queue = Queue::builder().name("audit").spawn(memory).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2_000 {
                Sink::write(&queue, &"secret").unwrap();
            }
        });
        for _ in 0..200 {
            let shown = format!("{queue:?}");
            assert!(shown.contains("audit") && !shown.contains("secret"), "{shown}");
        }
    });
    queue.close().wait().unwrap();
}

#[test]
fn who_stops_waiting_leaves_nothing_behind() {
    struct Idle;
    impl std::task::Wake for Idle {
        fn wake(self: Arc<Self>) {}
    }
    let script = Script::new().shut();
    let queue = Queue::spawn(script.clone());
    Sink::write(&queue, &0).unwrap();
    script.entered();
    let idle = Arc::new(Idle);
    let waker = std::task::Waker::from(Arc::clone(&idle));
    let mut cx = std::task::Context::from_waker(&waker);
    for _ in 0..10 {
        let waits: [Closing<'_>; 2] = [queue.flush(), queue.close()];
        for mut wait in waits {
            assert!(Future::poll(std::pin::Pin::new(&mut wait), &mut cx).is_pending());
        }
    }
    // The test's own, and that in the waker.
    assert_eq!(Arc::strong_count(&idle), 2);
    script.open();
    queue.close().wait().unwrap();
}

#[test]
fn what_is_behind_a_destination_that_is_gone_is_not_offered_to_it() {
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let may_go_on = Mutex::new(may_go_on);
    let queue = Queue::spawn(sink_fn(move |event: &u64| {
        tell.send(*event).unwrap();
        let _ = may_go_on.lock().recv();
        Err(SinkError::closed())
    }));
    Sink::write(&queue, &0).unwrap();
    assert_eq!(told.recv().unwrap(), 0);
    // In other chunks than the first.
    Sink::write(&queue, &1).unwrap();
    Sink::write(&queue, &2).unwrap();
    drop(go_on);
    assert_undelivered(queue.close().wait(), 3);
    assert!(told.try_recv().is_err(), "offered to a sink that is gone");
    assert_eq!(queue.stats().failed, 3);
}
