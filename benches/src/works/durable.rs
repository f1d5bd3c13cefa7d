//! Events that are on the disk before a write returns.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Arc, Barrier, Mutex},
    thread,
};

use events_core::{Close as _, Discard, Sink as _};
use events_durable::DurableQueue;
use queue_file::QueueFile;
use rusqlite::Connection;

use crate::contest::{Contest, Job};

/// What is written: a notification of 256 bytes, as JSON.
fn event() -> Arc<str> {
    "x".repeat(254).into()
}

/// So many writers write to one file, together `events` events, each on the disk before its
/// writer goes on.
pub fn durable(writers: usize, events: usize) -> Vec<Contest> {
    vec![
        contest::<Ours>(writers, events),
        contest::<Append>(writers, events),
        contest::<Alone>(writers, events),
        contest::<ByHand>(writers, events),
        contest::<Fifo>(writers, events),
    ]
}

/// A file that takes events from several threads.
trait Spool: Send + Sync + Sized + 'static {
    const PEER: &'static str;

    fn open(path: &Path, writers: usize) -> Self;

    fn write(&self, event: &Arc<str>);

    /// Delivers what has been written, if it does that at all.
    fn close(self) {}
}

struct Ours(DurableQueue<Arc<str>>);

impl Spool for Ours {
    const PEER: &'static str = "events";

    fn open(path: &Path, _writers: usize) -> Self {
        // Everything is delivered and taken from the disk meanwhile.
        Self(DurableQueue::spawn(Discard::new(), path).expect("a file"))
    }

    fn write(&self, event: &Arc<str>) {
        self.0.write(event).expect("an open queue");
    }

    fn close(self) {
        self.0.close().wait().expect("a sink that takes everything");
    }
}

/// The floor: appends to a file, with one `fdatasync` whenever each writer has added its event.
struct Append {
    file: Mutex<Vec<u8>>,
    disk: Mutex<File>,
    round: Barrier,
}

impl Spool for Append {
    const PEER: &'static str = "append, in groups";

    fn open(path: &Path, writers: usize) -> Self {
        let disk = Mutex::new(File::create(path).expect("a file"));
        Self { file: Mutex::default(), disk, round: Barrier::new(writers) }
    }

    fn write(&self, event: &Arc<str>) {
        self.file.lock().expect("no panic").extend_from_slice(event.as_bytes());
        if self.round.wait().is_leader() {
            let group = std::mem::take(&mut *self.file.lock().expect("no panic"));
            let mut disk = self.disk.lock().expect("no panic");
            disk.write_all(&group).expect("a disk");
            disk.sync_data().expect("a disk");
        }
        self.round.wait();
    }
}

/// A file with one `fdatasync` an event.
struct Alone(Mutex<File>);

impl Spool for Alone {
    const PEER: &'static str = "append, one by one";

    fn open(path: &Path, _writers: usize) -> Self {
        Self(Mutex::new(File::create(path).expect("a file")))
    }

    fn write(&self, event: &Arc<str>) {
        let mut file = self.0.lock().expect("no panic");
        file.write_all(event.as_bytes()).expect("a disk");
        file.sync_data().expect("a disk");
    }
}

/// SQLite as one begins with it: one insert a transaction.
struct ByHand(Mutex<Connection>);

impl Spool for ByHand {
    const PEER: &'static str = "sqlite by hand";

    fn open(path: &Path, _writers: usize) -> Self {
        let connection = Connection::open(path).expect("a file");
        connection.pragma_update(None, "journal_mode", "WAL").expect("a log");
        connection.pragma_update(None, "synchronous", "FULL").expect("a log");
        connection.execute_batch("CREATE TABLE events (event TEXT)").expect("a table");
        Self(Mutex::new(connection))
    }

    fn write(&self, event: &Arc<str>) {
        let connection = self.0.lock().expect("no panic");
        let mut insert =
            connection.prepare_cached("INSERT INTO events VALUES (?1)").expect("a table");
        insert.execute([&**event]).expect("a disk");
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

fn contest<S: Spool>(writers: usize, events: usize) -> Contest {
    let each = events.div_ceil(writers);
    let prepare = move || -> Job {
        let dir = tempfile::tempdir().expect("a directory");
        let spool = Arc::new(S::open(&dir.path().join("spool"), writers));
        let event = event();
        Box::new(move || {
            thread::scope(|scope| {
                for _ in 0..writers {
                    scope.spawn(|| (0..each).for_each(|_| spool.write(&event)));
                }
            });
            if let Some(spool) = Arc::into_inner(spool) {
                spool.close();
            }
            Box::new(move || drop(dir))
        })
    };
    Contest::new(format!("durable/{writers}w"), S::PEER, each * writers, prepare)
}
