//! A file by its names.

use std::{fs, os::unix::fs::symlink};

use events_core::{Close, ErrorKind, Sink};
use events_durable::{DurableLog, DurableQueue, OpenErrorKind};

use crate::support::{Kept, place, queue};

#[test]
fn a_file_has_one_lock_whatever_it_is_called() {
    let place = place();
    let first = queue(&place, Kept::default());
    let link = place.path.with_file_name("link.db");
    symlink(&place.path, &link).unwrap();
    let error = DurableQueue::<u64>::spawn(Kept::default(), &link).unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::InUse);
    first.close().wait().unwrap();
    let hard = place.path.with_file_name("hard.db");
    fs::hard_link(&place.path, &hard).unwrap();
    for path in [&place.path, &hard] {
        let error = DurableQueue::<u64>::spawn(Kept::default(), path).unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::Setting);
        assert!(format!("{error:?}").contains("hard links"), "{error:?}");
    }
}

#[test]
fn a_name_that_means_something_to_sqlite_is_a_file() {
    let place = place();
    let path = place.path.with_file_name(":memory:");
    let log = DurableLog::<u64>::open(&path).unwrap();
    log.write(&1).unwrap();
    log.close().wait().unwrap();
    assert!(path.metadata().unwrap().len() > 0);
    assert!(log.path().is_absolute());
}

#[test]
fn a_copy_gives_other_ids_to_what_is_written_later() {
    let place = place();
    let original = queue(&place, Kept::default());
    original.write(&1).unwrap();
    original.close().wait().unwrap();
    let copy = crate::support::place();
    fs::copy(&place.path, &copy.path).unwrap();
    let ids = [&place, &copy].map(|place| {
        let kept = Kept::default();
        let queue = queue(place, kept.clone());
        queue.write(&2).unwrap();
        queue.close().wait().unwrap();
        kept.ids().remove(0)
    });
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_file_that_is_deleted_or_replaced_closes_the_log() {
    for replace in [false, true] {
        let place = place();
        let log = DurableLog::<u64>::open(&place.path).unwrap();
        log.write(&0).unwrap();
        fs::remove_file(&place.path).unwrap();
        if replace {
            fs::write(&place.path, "").unwrap();
        }
        // Which is looked at once a second.
        let error = loop {
            if let Err(error) = log.write(&1) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::Closed);
        let why = if replace { "replaced" } else { "deleted" };
        assert!(format!("{error:?}").contains(why), "{error:?}");
        log.close().wait().unwrap_err();
    }
}
