//! Where the events of an endpoint wait: in memory, or with `--spool` on the disk.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use events_core::{Closing, Sink, Stats};
use events_durable::{DurableQueue, Spool};
use events_queue::Queue;

use crate::notification::Event;

/// A queue of either kind.
pub trait Backlog: Sink<Event> {
    fn stats(&self) -> Stats;

    /// Takes no more events, and stops delivering at the end of `limit`.
    fn close_within(&self, limit: Duration) -> Closing<'_>;
}

impl Backlog for Queue<Event> {
    fn stats(&self) -> Stats {
        self.stats()
    }

    fn close_within(&self, limit: Duration) -> Closing<'_> {
        self.close_within(limit)
    }
}

impl Backlog for DurableQueue<Event> {
    fn stats(&self) -> Stats {
        self.stats()
    }

    fn close_within(&self, limit: Duration) -> Closing<'_> {
        self.close_within(limit)
    }
}

/// The file in `dir` of the endpoint called `name`. What might be special in a file name is
/// written as in a URL, so that no two names share a file.
pub fn file(dir: &Path, name: &str) -> PathBuf {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let escaped = |byte| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    dir.join(name.bytes().map(escaped).collect::<String>() + ".spool")
}

/// The files in `dir`, other than `ours`, in which events wait, and how many.
pub fn others(dir: &Path, ours: &[&Path]) -> Vec<(PathBuf, u64)> {
    let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut others: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "spool"))
        .filter(|file| !ours.contains(&file.as_path()))
        .filter_map(|file| {
            // What cannot be read is no business of this run.
            let pending = Spool::open(&file).and_then(|spool| spool.stats()).ok()?.pending;
            (pending > 0).then_some((file, pending))
        })
        .collect();
    others.sort();
    others
}
