//! Sinks come and go while one writes and one closes.

use std::sync::Arc;

use events_broadcast::Broadcaster;
use events_core::{Close, Closing, ErrorKind, Sink, SinkError, engine::park::block_on};
use loom::{sync::Notify, thread};

use crate::support::{Seen, check, direct};

#[test]
fn add_remove_write_and_close_meet() {
    check(3, || {
        let (all, [leaves, stays]) = direct();
        let id = all.stats()[0].id;
        let comes = Arc::new(Seen::default());
        let writer = {
            let all = all.clone();
            thread::spawn(move || all.write(&1))
        };
        let changer = {
            let (all, comes) = (all.clone(), Arc::clone(&comes));
            thread::spawn(move || {
                let removed = all.remove(id).is_some();
                (removed, all.add(comes).is_ok())
            })
        };
        all.close().wait().unwrap();
        let (removed, added) = changer.join().unwrap();
        let written = writer.join().unwrap();
        // The close closes who was there when it began.
        assert!(removed);
        assert!(stays.is_closed());
        assert_eq!(comes.is_closed(), added);
        assert!([&leaves, &stays, &comes].iter().all(|sink| sink.events().len() <= 1));
        match written {
            Ok(()) => assert_eq!(stays.events().len(), 1),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
        }
        assert_eq!(all.write(&2).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(all.add(comes).unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn who_is_added_before_a_write_gets_it_and_who_is_removed_does_not() {
    check(3, || {
        let (all, [leaves]) = direct();
        let id = all.stats()[0].id;
        let comes = Arc::new(Seen::default());
        let writer = {
            let all = all.clone();
            thread::spawn(move || all.write(&1).unwrap())
        };
        all.remove(id).unwrap();
        all.add(Arc::<Seen>::clone(&comes)).unwrap();
        all.write(&2).unwrap();
        writer.join().unwrap();
        assert!(!leaves.events().contains(&2));
        assert!(comes.events().contains(&2));
        let seen = leaves.events().len() + comes.events().len();
        assert!((1..=2).contains(&seen), "{leaves:?} {comes:?}");
    });
}

#[test]
fn the_close_waits_for_sinks_with_workers_and_tells_all_closers_the_same() {
    check(2, || {
        let all = Broadcaster::new();
        let sink = Arc::new(Seen::default());
        let (delivery, worker) = all.pair(Arc::clone(&sink));
        let worker = thread::spawn(|| block_on(worker));
        let closer = {
            let all = all.clone();
            thread::spawn(move || all.close().wait().is_ok())
        };
        let taken = all.write(&1).is_ok();
        assert!(all.close().wait().is_ok());
        assert!(sink.is_closed());
        assert!(closer.join().unwrap());
        worker.join().unwrap();
        assert_eq!(sink.events().len(), usize::from(taken));
        assert_eq!(delivery.stats().delivered, u64::from(taken));
    });
}

/// Takes event 1 only once somebody has moved on.
struct Stuck(Notify);

impl Close for Stuck {
    fn close(&self) -> Closing<'_> {
        Closing::done()
    }
}

impl Sink<u64> for Stuck {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        if *event == 1 {
            self.0.wait();
        }
        Ok(())
    }
}

#[test]
fn a_close_sends_away_who_waits_for_a_stuck_writer() {
    check(3, || {
        let all = Broadcaster::new();
        let stuck = Arc::new(Stuck(Notify::new()));
        all.add(Arc::<Stuck>::clone(&stuck)).unwrap();
        let writer = {
            let all = all.clone();
            thread::spawn(move || drop(all.write(&1)))
        };
        let closer = {
            let all = all.clone();
            thread::spawn(move || all.close().wait().unwrap())
        };
        if let Err(error) = all.write(&2) {
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
        stuck.0.notify();
        writer.join().unwrap();
        closer.join().unwrap();
    });
}
