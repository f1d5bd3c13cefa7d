use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    process::Command,
    sync::mpsc,
};

use events_core::{Close, ErrorKind, Sink};
use events_durable::{DurableLog, DurableQueue, OpenErrorKind, Spool};
use parking_lot::Mutex;

use crate::support::{Kept, Place, held, place, queue};

/// How opening ends, for a queue and for one who only looks.
fn refused(place: &Place) -> [OpenErrorKind; 2] {
    let queue = DurableQueue::<u64>::spawn(Kept::default(), &place.path).unwrap_err();
    let look = Spool::open(&place.path).unwrap_err();
    for error in [&queue, &look] {
        assert!(error.to_string().contains("events.db"), "{error}");
        assert_eq!(error.path(), place.path);
    }
    [queue.kind(), look.kind()]
}

#[test]
fn the_second_queue_in_a_file_is_refused_and_the_first_goes_on() {
    let place = place();
    let kept = Kept::default();
    let first = queue(&place, kept.clone());
    let error = DurableQueue::<u64>::spawn(Kept::default(), &place.path).unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::InUse);
    let error = Spool::replay(&place.path, None, &events_durable::Which::All).unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::InUse);
    first.write(&1).unwrap();
    first.close().wait().unwrap();
    assert_eq!(kept.numbers(), [1]);
    queue(&place, Kept::default()).close().wait().unwrap();
}

#[test]
fn a_file_of_somebody_else_is_refused_and_left_alone() {
    let text = place();
    fs::write(&text.path, "these are my notes, and no database at all; ".repeat(50)).unwrap();
    let before = fs::read(&text.path).unwrap();
    assert_eq!(refused(&text), [OpenErrorKind::Foreign; 2]);
    assert_eq!(fs::read(&text.path).unwrap(), before);

    let database = place();
    database.tamper("CREATE TABLE bookmarks (url TEXT)");
    let before = fs::read(&database.path).unwrap();
    assert_eq!(refused(&database), [OpenErrorKind::Foreign; 2]);
    assert_eq!(fs::read(&database.path).unwrap(), before);
}

#[test]
fn a_schema_from_the_future_is_refused() {
    let place = place();
    queue(&place, Kept::default()).close().wait().unwrap();
    place.tamper("PRAGMA user_version = 3");
    assert_eq!(refused(&place), [OpenErrorKind::Newer; 2]);
}

#[test]
fn looking_creates_nothing() {
    let place = place();
    assert_eq!(Spool::open(&place.path).unwrap_err().kind(), OpenErrorKind::Io);
    assert!(!place.path.exists());
    fs::write(&place.path, "").unwrap();
    assert_eq!(Spool::open(&place.path).unwrap_err().kind(), OpenErrorKind::Foreign);
    // An empty file is as good as none to a queue.
    queue(&place, Kept::default()).close().wait().unwrap();
}

/// A closed file with a backlog of many pages.
fn backlog(place: &Place) {
    let (sink, holder) = held();
    let first = queue(place, sink);
    for number in 0..5_000 {
        first.write(&number).unwrap();
    }
    holder.given.recv().unwrap();
    first.abort();
    first.close().wait().unwrap_err();
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    let place = place();
    backlog(&place);
    let file = fs::OpenOptions::new().write(true).open(&place.path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length / 2).unwrap();
    assert_eq!(refused(&place), [OpenErrorKind::Corrupt; 2]);
    file.set_len(50).unwrap();
    assert_eq!(refused(&place), [OpenErrorKind::Corrupt; 2]);
}

#[test]
fn damage_inside_ends_the_queue_with_an_error_and_delivers_what_is_before() {
    let place = place();
    backlog(&place);
    let root: u32 = place.ask("SELECT rootpage FROM sqlite_master WHERE name = 'durable_events'");
    let page: u64 = place.ask("PRAGMA page_size");
    let last: u64 = place.ask("PRAGMA page_count");
    let file = fs::OpenOptions::new().write(true).open(&place.path).unwrap();
    // Pages in the middle of the file; the first events and the last, which is looked at when the
    // file is opened, lie elsewhere.
    assert!(u64::from(root) < last / 2);
    for number in last / 2..last * 3 / 4 {
        file.write_all_at(&vec![0xa5; page as usize], number * page).unwrap();
    }
    drop(file);
    let kept = Kept::default();
    let queue = queue(&place, kept.clone());
    let error = queue.close().wait().unwrap_err();
    assert_eq!(queue.write(&0).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(error.kind(), ErrorKind::Undelivered, "{error:?}");
    assert!(format!("{error:?}").contains("malformed"), "{error:?}");
    let numbers = kept.numbers();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(error.undelivered(), Some(5_000 - numbers.len() as u64));
}

#[test]
fn a_directory_that_is_missing_or_closed_is_an_error_that_says_so() {
    let place = place();
    let missing = place.path.join("no").join("such.db");
    let error = DurableQueue::<u64>::spawn(Kept::default(), missing).unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Io);

    let directory = place.path.parent().unwrap();
    let closed = directory.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(closed.join("probe"), "").is_ok() {
        // Root may write anywhere; a directory that is a file stands for what even it may not.
        fs::write(directory.join("file"), "").unwrap();
        let error = DurableQueue::<u64>::spawn(Kept::default(), directory.join("file/events.db"));
        assert_eq!(error.unwrap_err().kind(), OpenErrorKind::Io);
        return;
    }
    let error = DurableQueue::<u64>::spawn(Kept::default(), closed.join("events.db"));
    assert_eq!(error.unwrap_err().kind(), OpenErrorKind::Io);
}

#[test]
fn the_files_are_for_the_owner_alone() {
    let place = place();
    let queue = queue(&place, Kept::default());
    queue.write(&1).unwrap();
    for entry in fs::read_dir(place.path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
    }
    queue.close().wait().unwrap();
}

/// A small file system of its own, unmounted at the end.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    /// `None` without the right to mount.
    fn mount(at: &'a Path) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at).output();
        mount.is_ok_and(|mount| mount.status.success()).then_some(Self(at))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.0).status().unwrap();
    }
}

#[test]
fn a_full_disk_fails_writes_and_loses_nothing_that_was_accepted() {
    let place = place();
    let at = place.path.with_extension("small");
    let Some(_small) = Small::mount(&at) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "the test of a full disk needs the right to mount a tmpfs"
        );
        eprintln!("SKIPPED: the test of a full disk needs the right to mount a tmpfs");
        return;
    };
    let [others, more] = ["others", "more"].map(|name| at.join(name));
    fs::write(&others, vec![1; 300_000]).unwrap();
    let mut accepted = Vec::new();
    let path = at.join("events.db");
    let (queue, worker) =
        DurableQueue::<(u64, String)>::pair(events_core::Discard::new(), &path).unwrap();
    let filler = "x".repeat(2_000);
    let write = |number: u64| Sink::write(&queue, &(number, filler.clone()));
    let mut refused = 0;
    for number in 0..2_000 {
        match write(number) {
            Ok(()) => accepted.push(number),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Full | ErrorKind::Unavailable));
                assert!(std::error::Error::source(&error).is_some());
                refused += 1;
                if refused == 20 {
                    break;
                }
            }
        }
    }
    assert_eq!(refused, 20);
    assert!(accepted.len() > 50, "{}", accepted.len());
    drop(worker);
    drop(queue.close().wait());
    drop(queue);

    // The next run delivers each of them, though not a byte is left to note it.
    let (tell, told) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let sink = events_core::sink_fn(move |event: &events_durable::Stored<(u64, String)>| {
        let _ = may_go_on.lock().recv();
        let _ = tell.send(event.0);
        Ok(())
    });
    let queue = DurableQueue::<(u64, String)>::spawn(sink, &path).unwrap();
    let mut rest = File::create(more).unwrap();
    while rest.write_all(&[1; 512]).is_ok() {}
    drop(rest);
    drop(go_on);
    for number in &accepted {
        assert_eq!(told.recv().unwrap(), *number);
    }
    assert!(queue.write(&(0, filler.clone())).is_err(), "the disk is full");
    // Once there is room again, it goes on.
    fs::remove_file(others).unwrap();
    queue.flush().wait().unwrap();
    queue.write(&(9_999, filler)).unwrap();
    queue.close().wait().unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [9_999]);
    // What could not be taken from the disk at first was not forgotten.
    assert_eq!(Spool::open(&path).unwrap().stats().unwrap().pending, 0);
}

/// An event whose decoding panics, where it is told to, and whose drop always does.
#[derive(serde::Serialize)]
struct Mean(u64);

impl<'de> serde::Deserialize<'de> for Mean {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(from)?;
        // In the thread that loads alone: the writer's is the test's own.
        let is_loading = std::thread::current().name().is_some_and(|name| name.ends_with("-load"));
        assert!(!(is_loading && number == 2), "it does not like to be decoded");
        Ok(Self(number))
    }
}

impl Drop for Mean {
    fn drop(&mut self) {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        assert!(!name.starts_with("durable-") || std::thread::panicking(), "nor to be dropped");
    }
}

#[test]
fn an_event_that_panics_when_it_is_decoded_or_dropped_harms_nobody() {
    let place = place();
    let log = DurableLog::<Mean>::open(&place.path).unwrap();
    for number in 0..4 {
        log.write(&Mean(number)).unwrap();
    }
    // It comes late, and so from the disk.
    let numbers = std::sync::Arc::new(Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&numbers);
    let sink = events_core::sink_fn(move |event: &events_durable::Stored<Mean>| {
        seen.lock().push(event.0);
        Ok(())
    });
    let consumer = log.consumer("late").spawn(sink).unwrap();
    consumer.flush().wait().unwrap();
    log.write(&Mean(4)).unwrap();
    log.close().wait().unwrap();
    assert_eq!(*numbers.lock(), [0, 1, 3, 4]);
    assert_eq!((consumer.stats().delivered, consumer.stats().failed), (4, 1));
}
