//! Permits: whoever goes away, the next one gets in.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use events_core::{AsyncSink, Close, Discard, ErrorKind, Sink};
use events_retry::AdaptiveLimit;
use loom::thread;

use crate::check;

fn one_at_a_time() -> Arc<AdaptiveLimit<Discard>> {
    let limit = AdaptiveLimit::new(Discard::new(), 1);
    Arc::new(limit.unwrap())
}

#[test]
fn one_that_gives_up_makes_way_for_the_next() {
    check(3, || {
        let limit = one_at_a_time();
        let gives_up = {
            let limit = Arc::clone(&limit);
            thread::spawn(move || {
                let mut write = pin!(AsyncSink::write(&*limit, &1));
                let poll = write.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(poll, Poll::Pending | Poll::Ready(Ok(()))));
            })
        };
        let writer = {
            let limit = Arc::clone(&limit);
            thread::spawn(move || Sink::write(&*limit, &2).unwrap())
        };
        Sink::write(&*limit, &3).unwrap();
        writer.join().unwrap();
        gives_up.join().unwrap();
        let stats = limit.stats();
        assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    });
}

#[test]
fn a_close_ends_the_wait() {
    check(3, || {
        let limit = one_at_a_time();
        let writers = [1, 2].map(|event| {
            let limit = Arc::clone(&limit);
            thread::spawn(move || Sink::write(&*limit, &event).map_err(|error| error.kind()))
        });
        limit.close().wait().unwrap();
        for writer in writers {
            assert!(matches!(writer.join().unwrap(), Ok(()) | Err(ErrorKind::Closed)));
        }
        assert_eq!(limit.stats().in_flight, 0);
    });
}
