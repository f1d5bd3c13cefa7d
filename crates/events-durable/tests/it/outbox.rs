//! Events that are committed with the data they tell of, or not at all.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use events_core::{Close, ErrorKind, Sink};
use events_durable::{DurableLog, OpenErrorKind, Retention, Spool, Start, outbox};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{Kept, Place, place};

const DIR: &str = "EVENTS_DURABLE_OUTBOX_VICTIM";
const SEED: u64 = 0xb0b;

fn shop(place: &Place) -> (Connection, DurableLog<u64>) {
    let shop = Connection::open(&place.path).unwrap();
    shop.execute_batch("CREATE TABLE IF NOT EXISTS orders (number INTEGER)").unwrap();
    let log = DurableLog::builder(&place.path).inside().open().unwrap();
    (shop, log)
}

#[test]
fn an_event_is_delivered_after_the_commit_and_never_after_a_rollback() {
    let place = place();
    let (mut shop, log) = shop(&place);
    let kept = Kept::default();
    let hook = log.consumer("hook").spawn(kept.clone()).unwrap();
    let mut read = log.read(Start::Latest).unwrap();
    for number in 0..20 {
        let transaction = shop.transaction().unwrap();
        transaction.execute("INSERT INTO orders VALUES (?1)", [number]).unwrap();
        let id = log.write_in(&transaction, &number).unwrap();
        if number % 2 == 1 {
            transaction.rollback().unwrap();
            continue;
        }
        transaction.commit().unwrap();
        let event = read.next().unwrap().unwrap();
        assert_eq!((*event, event.id()), (number, id));
        // The log writes as well.
        log.write(&(number + 100)).unwrap();
        assert_eq!(*read.next().unwrap().unwrap(), number + 100);
    }
    hook.flush().wait().unwrap();
    let expected: Vec<u64> = (0..20).step_by(2).flat_map(|number| [number, number + 100]).collect();
    assert_eq!(kept.numbers(), expected);
    log.close().wait().unwrap();
    let stats = hook.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.pending), (20, 20, 0));
    let late = shop.transaction().unwrap();
    assert_eq!(log.write_in(&late, &1).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn what_others_write_is_noticed_and_waits_where_nobody_is_there() {
    let place = place();
    let (shop, log) = shop(&place);
    outbox::write(&shop, &1_u64).unwrap();
    let mut read = log.read(Start::Earliest).unwrap();
    assert_eq!(*read.next().unwrap().unwrap(), 1);
    log.close().wait().unwrap();
    outbox::write(&shop, &2_u64).unwrap();
    drop(shop);
    let stats = Spool::open(&place.path).unwrap().stats().unwrap();
    assert_eq!(stats.events, 2);
    let (_shop, log) = self::shop(&place);
    let kept = Kept::default();
    log.consumer("late").spawn(kept.clone()).unwrap();
    log.close().wait().unwrap();
    assert_eq!(kept.numbers(), [1, 2]);
}

#[test]
fn a_file_that_is_not_the_logs_alone_is_left_as_it_is() {
    let place = place();
    let (shop, log) = shop(&place);
    log.close().wait().unwrap();
    let application: i64 = shop.query_row("PRAGMA application_id", [], |row| row.get(0)).unwrap();
    assert_eq!(application, 0);
    // Nobody takes it for a file of a queue's own by mistake.
    let error = DurableLog::<u64>::open(&place.path).unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Foreign);
    let bounded = DurableLog::<u64>::builder(&place.path).inside().max_size(1 << 20).open();
    assert_eq!(bounded.unwrap_err().kind(), OpenErrorKind::Setting);
    let bounded = DurableLog::<u64>::builder(&place.path).inside();
    let bounded = bounded.retention(Retention::size(1 << 20)).open();
    assert_eq!(bounded.unwrap_err().kind(), OpenErrorKind::Setting);
}

#[test]
fn killed_between_data_and_event_there_is_never_one_without_the_other() {
    let dir = TempDir::new().unwrap();
    let mut random = fastrand::Rng::with_seed(SEED);
    for _ in 0..50 {
        let mut command = Command::new(env::current_exe().unwrap());
        let arguments = ["--exact", "outbox::victim", "--nocapture"];
        let mut victim =
            command.args(arguments).env(DIR, dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("writing")), "the victim died by itself");
        thread::sleep(Duration::from_micros(random.u64(0..30_000)));
        victim.kill().unwrap();
        victim.wait().unwrap();
    }
    let path = dir.path().join("shop.db");
    let log = DurableLog::<u64>::builder(&path).inside().open().unwrap();
    let kept = Kept::default();
    log.consumer("all").spawn(kept.clone()).unwrap();
    log.close().wait().unwrap();
    let events: BTreeSet<u64> = kept.numbers().into_iter().collect();
    assert_eq!(events.len(), kept.numbers().len(), "an event was written twice");
    assert_eq!(orders(&path), events);
    println!("50 kills, {} orders with their events", events.len());
    assert!(!events.is_empty());
}

fn orders(path: &Path) -> BTreeSet<u64> {
    let shop = Connection::open(path).unwrap();
    let mut select = shop.prepare("SELECT number FROM orders").unwrap();
    let orders = select.query_map([], |row| row.get(0)).unwrap();
    orders.map(Result::unwrap).collect()
}

/// Not a test of its own: what the test above starts as a process, and kills.
#[test]
fn victim() {
    let Ok(dir) = env::var(DIR) else { return };
    let path = PathBuf::from(dir).join("shop.db");
    let mut shop = Connection::open(&path).unwrap();
    shop.execute_batch("CREATE TABLE IF NOT EXISTS orders (number INTEGER)").unwrap();
    let log = DurableLog::<u64>::builder(&path).inside().open().unwrap();
    println!("writing");
    let first = orders(&path).last().map_or(0, |last| last + 1);
    for number in first.. {
        let transaction = shop.transaction().unwrap();
        // Now the event is first, and now the data.
        if number % 2 == 0 {
            log.write_in(&transaction, &number).unwrap();
        }
        transaction.execute("INSERT INTO orders VALUES (?1)", [number]).unwrap();
        if number % 2 == 1 {
            log.write_in(&transaction, &number).unwrap();
        }
        transaction.commit().unwrap();
    }
}
