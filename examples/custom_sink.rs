//! A sink of your own, and the family's contract run on it as a test suite.

use std::{
    error::Error,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use events_core::{Close, Closing, Sink, SinkError, conformance::Suite};
use events_queue::Queue;

/// Appends each event to a file, as a line.
struct Lines {
    path: PathBuf,
    /// `None` once closed. Under a lock, since a sink may be written to from many threads.
    file: Mutex<Option<File>>,
}

impl Lines {
    fn open(path: impl Into<PathBuf>) -> Result<Self, SinkError> {
        let path = path.into();
        let file = File::options().create(true).append(true).open(&path);
        Ok(Self { path, file: Mutex::new(Some(file.map_err(SinkError::unavailable)?)) })
    }
}

impl Sink<String> for Lines {
    fn write(&self, event: &String) -> Result<(), SinkError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file.as_mut().ok_or(SinkError::closed())?;
        if event.contains('\n') {
            // Trying again would not help: strategies look at the kind alone.
            return Err(SinkError::rejected("an event of several lines"));
        }
        // `Ok` says that the event is committed, so nothing is buffered here.
        file.write_all(format!("{event}\n").as_bytes()).map_err(SinkError::unavailable)
    }
}

impl Close for Lines {
    /// Stops new writes and sees the others to the disk.
    fn close(&self) -> Closing<'_> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        let synced = file.map_or(Ok(()), |file| file.sync_all());
        Closing::ended(synced.map_err(SinkError::unavailable))
    }
}

fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;

    // In a crate of your own this is a `#[test]`. It panics at the first rule that is broken.
    let fresh = directory.path().to_owned();
    let count = std::sync::atomic::AtomicU32::new(0);
    let make = move || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Lines::open(fresh.join(format!("{number}.txt"))).expect("a file in a new directory")
    };
    Suite::sink(make, |number| number.to_string()).observed(|lines| numbers(&lines.path)).run();
    println!("the sink keeps the contract");

    // It nests like any other.
    let path = directory.path().join("log.txt");
    let queue = Queue::spawn(Lines::open(&path)?);
    for number in 0..100 {
        queue.write(&number.to_string())?;
    }
    queue.close().wait()?;
    assert_eq!(numbers(&path), (0..100).collect::<Vec<_>>());
    println!("100 lines written through a queue");
    Ok(())
}
