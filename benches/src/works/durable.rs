//! Events that are on the disk before a write returns.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Arc, Barrier, Mutex},
    thread,
};

use events_core::{AsyncSink, Close as _, Discard, Sink};
use events_durable::DurableQueue;
use queue_file::QueueFile;
use rusqlite::{Connection, OptionalExtension as _};
use tokio::task::JoinSet;

use crate::{
    Stuck, Writer,
    contest::{Contest, Job},
    runtime::{runtime, settle},
};

/// What is written: a notification of 256 bytes, as JSON.
fn event() -> Arc<str> {
    "x".repeat(254).into()
}

/// How many events come from files that sync each event on its own: what one of these costs does
/// not depend on their number, and they are slow.
const FEW: usize = 500;

/// So many writers write to one file, together about `events` events, each on the disk before its
/// writer goes on.
pub fn durable(writers: usize, events: usize) -> Vec<Contest> {
    let few = events.min(FEW);
    let mut all = vec![
        tasks(writers, events),
        threads::<Ours>(writers, events),
        append(writers, events),
        threads::<ByHand>(writers, few),
        threads::<Fifo>(writers, few),
    ];
    if writers > 1 {
        all.insert(3, threads::<Groups>(writers, events / 8));
    }
    all
}

/// A backlog of so many events is written by 64 tasks, and then delivered and taken from the disk.
pub fn drain(events: usize) -> Vec<Contest> {
    const WRITERS: usize = 64;
    vec![
        backlog("events", WRITERS, events, false),
        backlog("the writing", WRITERS, events, true),
        drain_alone::<ByHand>(events.min(FEW)),
        drain_alone::<Fifo>(events.min(FEW)),
    ]
}

/// Ours, with a task for each writer. Everything is delivered and taken from the disk meanwhile.
fn tasks(writers: usize, events: usize) -> Contest {
    let each = events.div_ceil(writers);
    Contest::new(format!("durable/{writers}w"), "events", each * writers, move || -> Job {
        let runtime = runtime();
        let dir = tempfile::tempdir().expect("a directory");
        let queue = {
            let _inside = runtime.enter();
            DurableQueue::builder(dir.path().join("spool")).spawn_tokio(Discard::new())
        };
        let queue = queue.expect("a file");
        settle();
        Box::new(move || {
            Writer::Inside.run(&runtime, async move {
                write_all(&queue, writers, each).await;
                queue.close().await.expect("a sink that takes everything");
            });
            Box::new(move || drop((runtime, dir)))
        })
    })
}

async fn write_all(queue: &DurableQueue<Arc<str>>, writers: usize, each: usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let (queue, event) = (queue.clone(), event());
        tasks.spawn(async move {
            for _ in 0..each {
                AsyncSink::write(&queue, &event).await.expect("an open queue");
            }
        });
    }
    tasks.join_all().await;
}

/// On the clock is either the writing of a backlog, or what follows.
fn backlog(peer: &'static str, writers: usize, events: usize, writing: bool) -> Contest {
    let each = events.div_ceil(writers);
    Contest::new("durable/drain", peer, each * writers, move || -> Job {
        let runtime = runtime();
        let dir = tempfile::tempdir().expect("a directory");
        let stuck = Arc::new(Stuck::default());
        let queue = {
            let _inside = runtime.enter();
            let builder = DurableQueue::<Arc<str>>::builder(dir.path().join("spool"));
            builder.spawn_tokio(Arc::clone(&stuck)).expect("a file")
        };
        settle();
        let write = {
            let queue = queue.clone();
            async move { write_all(&queue, writers, each).await }
        };
        let drain = async move {
            stuck.release();
            queue.close().await.expect("a sink that takes everything");
        };
        if writing {
            return Box::new(move || {
                Writer::Inside.run(&runtime, write);
                Box::new(move || {
                    runtime.block_on(drain);
                    drop((runtime, dir));
                })
            });
        }
        Writer::Inside.run(&runtime, write);
        Box::new(move || {
            Writer::Inside.run(&runtime, drain);
            Box::new(move || drop((runtime, dir)))
        })
    })
}

/// The floor: one thread appends as many events at a time as there are writers, each time with an
/// `fdatasync`, and hands nothing over to anybody.
fn append(writers: usize, events: usize) -> Contest {
    let each = events.div_ceil(writers);
    let work = format!("durable/{writers}w");
    Contest::new(work, "raw append", each * writers, move || -> Job {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = File::create(dir.path().join("spool")).expect("a file");
        let group = event().repeat(writers);
        Box::new(move || {
            for _ in 0..each {
                file.write_all(group.as_bytes()).expect("a disk");
                file.sync_data().expect("a disk");
            }
            Box::new(move || drop(dir))
        })
    })
}

/// A file that takes events from several threads.
trait Spool: Send + Sync + Sized + 'static {
    const PEER: &'static str;

    fn open(path: &Path, writers: usize) -> Self;

    fn write(&self, event: &Arc<str>);

    /// Waits for the delivery, if there is one.
    fn close(&self) {}
}

/// One from which a program takes events itself, one at a time.
trait Take: Spool {
    fn drain(&self);
}

fn threads<S: Spool>(writers: usize, events: usize) -> Contest {
    let each = events.div_ceil(writers);
    Contest::new(format!("durable/{writers}w"), S::PEER, each * writers, move || -> Job {
        let dir = tempfile::tempdir().expect("a directory");
        let spool = S::open(&dir.path().join("spool"), writers);
        let event = event();
        Box::new(move || {
            thread::scope(|scope| {
                for _ in 0..writers {
                    scope.spawn(|| (0..each).for_each(|_| spool.write(&event)));
                }
            });
            spool.close();
            Box::new(move || drop((spool, dir)))
        })
    })
}

fn drain_alone<S: Take>(events: usize) -> Contest {
    Contest::new("durable/drain", S::PEER, events, move || -> Job {
        let dir = tempfile::tempdir().expect("a directory");
        let spool = S::open(&dir.path().join("spool"), 1);
        let event = event();
        (0..events).for_each(|_| spool.write(&event));
        Box::new(move || {
            spool.drain();
            Box::new(move || drop((spool, dir)))
        })
    })
}

/// Ours, with a thread for each writer and one that delivers.
struct Ours(DurableQueue<Arc<str>>);

impl Spool for Ours {
    const PEER: &'static str = "events (threads)";

    fn open(path: &Path, _writers: usize) -> Self {
        Self(DurableQueue::spawn(Discard::new(), path).expect("a file"))
    }

    fn write(&self, event: &Arc<str>) {
        Sink::write(&self.0, event).expect("an open queue");
    }

    fn close(&self) {
        self.0.close().wait().expect("a sink that takes everything");
    }
}

/// A raw append by threads: one `fdatasync` whenever each of them has added its event.
struct Groups {
    waiting: Mutex<Vec<u8>>,
    file: Mutex<File>,
    round: Barrier,
}

impl Spool for Groups {
    const PEER: &'static str = "raw append (threads)";

    fn open(path: &Path, writers: usize) -> Self {
        let file = Mutex::new(File::create(path).expect("a file"));
        Self { waiting: Mutex::default(), file, round: Barrier::new(writers) }
    }

    fn write(&self, event: &Arc<str>) {
        self.waiting.lock().expect("no panic").extend_from_slice(event.as_bytes());
        if self.round.wait().is_leader() {
            let group = std::mem::take(&mut *self.waiting.lock().expect("no panic"));
            let mut file = self.file.lock().expect("no panic");
            file.write_all(&group).expect("a disk");
            file.sync_data().expect("a disk");
        }
        self.round.wait();
    }
}

/// SQLite as one begins with it: one statement a transaction.
struct ByHand(Mutex<Connection>);

impl Spool for ByHand {
    const PEER: &'static str = "sqlite, an insert a transaction";

    fn open(path: &Path, _writers: usize) -> Self {
        let connection = Connection::open(path).expect("a file");
        connection.pragma_update(None, "journal_mode", "WAL").expect("a log");
        connection.pragma_update(None, "synchronous", "FULL").expect("a log");
        connection
            .execute_batch("CREATE TABLE events (id INTEGER PRIMARY KEY, event TEXT)")
            .expect("a table");
        Self(Mutex::new(connection))
    }

    fn write(&self, event: &Arc<str>) {
        let connection = self.0.lock().expect("no panic");
        let mut insert =
            connection.prepare_cached("INSERT INTO events (event) VALUES (?1)").expect("a table");
        insert.execute([&**event]).expect("a disk");
    }
}

impl Take for ByHand {
    fn drain(&self) {
        let connection = self.0.lock().expect("no panic");
        let mut first = connection
            .prepare("SELECT id, event FROM events ORDER BY id LIMIT 1")
            .expect("a table");
        let mut delete = connection.prepare("DELETE FROM events WHERE id = ?1").expect("a table");
        let take = |row: &rusqlite::Row<'_>| {
            row.get::<_, String>(1)?;
            row.get::<_, u64>(0)
        };
        while let Some(id) = first.query_row([], take).optional().expect("a disk") {
            delete.execute([id]).expect("a disk");
        }
    }
}

/// A file-based FIFO.
struct Fifo(Mutex<QueueFile>);

impl Spool for Fifo {
    const PEER: &'static str = "queue-file";

    fn open(path: &Path, _writers: usize) -> Self {
        let mut file = QueueFile::open(path).expect("a file");
        file.set_sync_writes(true);
        Self(Mutex::new(file))
    }

    fn write(&self, event: &Arc<str>) {
        self.0.lock().expect("no panic").add(event.as_bytes()).expect("a disk");
    }
}

impl Take for Fifo {
    fn drain(&self) {
        let mut file = self.0.lock().expect("no panic");
        while file.peek().expect("a disk").is_some() {
            file.remove().expect("a disk");
        }
    }
}
