//! Writers take turns, and each gets one.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use events_core::{AsyncSink, Sink};
use loom::thread;

use crate::support::{check, direct};

#[test]
fn all_sinks_see_one_order_and_no_writer_sleeps_for_ever() {
    check(3, || {
        let (all, [one, two]) = direct();
        let writers = [1, 2].map(|event| {
            let all = all.clone();
            thread::spawn(move || Sink::write(&all, &event).unwrap())
        });
        Sink::write(&all, &3).unwrap();
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(one.events(), two.events());
        assert_eq!(one.events().len(), 3);
    });
}

#[test]
fn a_writer_that_gives_up_wakes_the_next() {
    check(3, || {
        let (all, [sink]) = direct();
        let writer = {
            let all = all.clone();
            thread::spawn(move || Sink::write(&all, &1).unwrap())
        };
        let gives_up = {
            let all = all.clone();
            thread::spawn(move || {
                let mut write = pin!(AsyncSink::write(&all, &2));
                match write.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(result) => result.map(|()| true).unwrap(),
                    Poll::Pending => false,
                }
            })
        };
        Sink::write(&all, &3).unwrap();
        writer.join().unwrap();
        let written = gives_up.join().unwrap();
        assert_eq!(sink.events().len(), 2 + usize::from(written));
    });
}
