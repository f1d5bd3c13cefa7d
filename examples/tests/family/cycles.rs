//! Components whose sinks write to each other, or wait for each other: what would wait for itself by way
//! of others is refused, and everything ends.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use events_broadcast::Broadcaster;
use events_core::{
    AsyncSink, Breaker, Close, Closing, ErrorKind, MaxAttempts, Sink, SinkError,
    engine::park::block_on,
};
use events_durable::{Durability, DurableQueue, Plain};
use events_queue::Queue;
use events_retry::Retry;
use tempfile::TempDir;

/// Long enough for any machine; what takes longer hangs.
const HANG: Duration = Duration::from_secs(30);

fn in_time<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (tx, rx) = mpsc::channel();
    thread::spawn(move || tx.send(call()));
    rx.recv_timeout(HANG).expect("nobody waits for itself")
}

/// What a sink does in each write.
type Deed = Box<dyn Fn() -> Result<(), SinkError> + Send + Sync>;

/// A sink that does something to another component, told later, and counts what was refused.
#[derive(Default)]
struct Back {
    deed: OnceLock<Deed>,
    refused: AtomicU64,
}

impl Back {
    fn does(&self, deed: impl Fn() -> Result<(), SinkError> + Send + Sync + 'static) {
        assert!(self.deed.set(Box::new(deed)).is_ok());
    }

    fn act(&self) {
        let Some(deed) = self.deed.get() else { return };
        if let Err(error) = deed() {
            let count = u64::from(error.kind() == ErrorKind::WouldDeadlock);
            self.refused.fetch_add(count, Ordering::SeqCst);
        }
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }
}

impl Close for Back {
    fn close(&self) -> Closing<'_> {
        Closing::done()
    }
}

impl Sink<u64> for Back {
    fn write(&self, _event: &u64) -> Result<(), SinkError> {
        self.act();
        Ok(())
    }
}

/// The same in a task.
struct BackInTask(Arc<Back>);

impl Close for BackInTask {}

impl AsyncSink<u64> for BackInTask {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        Sink::write(&*self.0, event)
    }
}

fn full(sink: Arc<Back>, in_task: bool) -> Queue<u64> {
    let queue = Queue::builder().capacity(1);
    if !in_task {
        return queue.spawn(sink).unwrap();
    }
    let (queue, worker) = queue.pair(BackInTask(sink)).unwrap();
    thread::spawn(|| block_on(worker));
    queue
}

/// Ends all of them, and sees that their accounts are whole.
fn end(queues: Vec<Queue<u64>>) {
    in_time(move || {
        for queue in &queues {
            let _refused = queue.close().wait();
        }
        for queue in queues {
            let stats = queue.stats();
            let settled = stats.delivered + stats.failed + stats.dropped.total();
            assert_eq!((stats.accepted, stats.pending), (settled, 0), "{stats:?}");
        }
    });
}

#[test]
fn two_full_queues_that_write_to_each_other() {
    for in_task in [false, true] {
        let sinks = [Arc::new(Back::default()), Arc::new(Back::default())];
        let [one, two] = sinks.each_ref().map(|sink| full(Arc::clone(sink), in_task));
        let (to_one, to_two) = (one.clone(), two.clone());
        sinks[0].does(move || Sink::write(&to_two, &0));
        sinks[1].does(move || Sink::write(&to_one, &0));
        let writers = [one.clone(), two.clone()];
        in_time(move || {
            let writers = writers.map(|queue| {
                thread::spawn(move || (0..50).for_each(|event| drop(Sink::write(&queue, &event))))
            });
            for writer in writers {
                writer.join().unwrap();
            }
        });
        // Without an end, what they write to each other would go on and on: it is cut off here.
        one.abort();
        two.abort();
        end(vec![one, two]);
        assert!(sinks.iter().any(|sink| sink.refused() > 0), "they would have waited");
    }
}

#[test]
fn two_full_queues_with_a_retry_between_them() {
    let sinks = [Arc::new(Back::default()), Arc::new(Back::default())];
    let [one, two] = sinks.each_ref().map(|sink| full(Arc::clone(sink), false));
    let strategy = || MaxAttempts::new(Breaker::default(), 3).unwrap();
    let to_two = Retry::new(two.clone(), strategy());
    let to_one = Retry::new(one.clone(), strategy());
    sinks[0].does(move || Sink::write(&to_two, &0));
    sinks[1].does(move || Sink::write(&to_one, &0));
    let writers = [one.clone(), two.clone()];
    in_time(move || {
        for event in 0..50 {
            for queue in &writers {
                drop(Sink::write(queue, &event));
            }
        }
    });
    one.abort();
    two.abort();
    end(vec![one, two]);
    assert!(sinks.iter().any(|sink| sink.refused() > 0), "they would have waited");
}

#[test]
fn a_full_member_that_writes_back_to_its_broadcaster() {
    for in_task in [false, true] {
        let sink = Arc::new(Back::default());
        let member = full(Arc::clone(&sink), in_task);
        let all = Broadcaster::new();
        all.add(Arc::new(member.clone())).unwrap();
        let back = all.clone();
        let has_written = AtomicU64::new(0);
        sink.does(move || match has_written.fetch_add(1, Ordering::SeqCst) {
            0 => Sink::write(&back, &9),
            _ => Ok(()),
        });
        let writer = all.clone();
        in_time(move || (0..3).for_each(|event| drop(Sink::write(&writer, &event))));
        in_time(move || drop(all.close().wait()));
        end(vec![member]);
    }
}

#[test]
fn two_broadcasters_whose_direct_members_are_each_others_queues() {
    let sinks = [Arc::new(Back::default()), Arc::new(Back::default())];
    let queues = sinks.each_ref().map(|sink| full(Arc::clone(sink), false));
    let all = [Broadcaster::new(), Broadcaster::new()];
    for (all, queue) in all.iter().zip(&queues) {
        all.add(Arc::new(queue.clone())).unwrap();
    }
    let (to_one, to_two) = (all[0].clone(), all[1].clone());
    sinks[0].does(move || Sink::write(&to_two, &0));
    sinks[1].does(move || Sink::write(&to_one, &0));
    let writers = all.clone();
    in_time(move || {
        let writers = writers.map(|all| {
            thread::spawn(move || (0..20).for_each(|event| drop(Sink::write(&all, &event))))
        });
        for writer in writers {
            writer.join().unwrap();
        }
    });
    queues.iter().for_each(Close::abort);
    end(queues.to_vec());
}

#[test]
fn two_queues_that_flush_each_other() {
    for in_task in [false, true] {
        let sinks = [Arc::new(Back::default()), Arc::new(Back::default())];
        let [one, two] = sinks.each_ref().map(|sink| {
            if in_task { full(Arc::clone(sink), true) } else { Queue::spawn(Arc::clone(sink)) }
        });
        let (of_one, of_two) = (one.clone(), two.clone());
        let meet = Arc::new(std::sync::Barrier::new(2));
        let also = Arc::clone(&meet);
        // Both are inside their sinks when they wait for each other.
        sinks[0].does(move || {
            meet.wait();
            of_two.flush().wait()
        });
        sinks[1].does(move || {
            also.wait();
            of_one.flush().wait()
        });
        Sink::write(&one, &0).unwrap();
        Sink::write(&two, &0).unwrap();
        end(vec![one, two]);
        assert_eq!(
            sinks.iter().map(|sink| sink.refused()).sum::<u64>(),
            1,
            "one waits, in vain no more"
        );
    }
}

fn full_on_disk(sink: Arc<Back>, dir: &TempDir, name: &str) -> DurableQueue<u64> {
    let queue = DurableQueue::builder(dir.path().join(name)).durability(Durability::Normal);
    queue.capacity(1).spawn(Plain::new(sink)).unwrap()
}

#[test]
fn two_full_queues_on_the_disk_that_write_to_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let sinks = [Arc::new(Back::default()), Arc::new(Back::default())];
    let one = full_on_disk(Arc::clone(&sinks[0]), &dir, "one");
    let two = full_on_disk(Arc::clone(&sinks[1]), &dir, "two");
    let (to_one, to_two) = (one.clone(), two.clone());
    sinks[0].does(move || Sink::write(&to_two, &0));
    sinks[1].does(move || Sink::write(&to_one, &0));
    let writers = [one.clone(), two.clone()];
    in_time(move || {
        let writers = writers.map(|queue| {
            thread::spawn(move || (0..20).for_each(|event| drop(Sink::write(&queue, &event))))
        });
        for writer in writers {
            writer.join().unwrap();
        }
    });
    one.abort();
    two.abort();
    in_time(move || {
        for queue in [one, two] {
            let _kept_or_not = queue.close().wait();
        }
    });
    assert!(sinks.iter().any(|sink| sink.refused() > 0), "they would have waited");
}

#[test]
fn two_queues_on_the_disk_that_flush_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let sinks = [Arc::new(Back::default()), Arc::new(Back::default())];
    let one = full_on_disk(Arc::clone(&sinks[0]), &dir, "one");
    let two = full_on_disk(Arc::clone(&sinks[1]), &dir, "two");
    let (of_one, of_two) = (one.clone(), two.clone());
    let meet = Arc::new(std::sync::Barrier::new(2));
    let also = Arc::clone(&meet);
    sinks[0].does(move || {
        meet.wait();
        of_two.flush().wait()
    });
    sinks[1].does(move || {
        also.wait();
        of_one.flush().wait()
    });
    Sink::write(&one, &0).unwrap();
    Sink::write(&two, &0).unwrap();
    in_time(move || {
        for queue in [one, two] {
            queue.close().wait().unwrap();
        }
    });
    let refused: u64 = sinks.iter().map(|sink| sink.refused()).sum();
    assert_eq!(refused, 1, "one waits, in vain no more");
}
