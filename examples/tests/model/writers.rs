//! Those who write: on threads and in tasks, some of whom lose patience.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use events_core::{AsyncSink, Sink, engine::clock};

use crate::{
    event::Event,
    fault::caught,
    pause::nap,
    pipeline::{Entry, Pipeline},
    plan::Writer,
    world::Job,
};

/// Whoever writes when all is over.
const LATE: u16 = u16::MAX;

/// Starts one writer. What its writes are told stands in the journal of the first stage.
pub(crate) fn start(pipeline: &Arc<Pipeline>, first: &Entry, writer: u16, plan: &Writer) {
    let (first, plan) = (Arc::clone(first), plan.clone());
    let job = if plan.blocks {
        Job::blocking(move || write_blocking(&first, writer, &plan))
    } else {
        pipeline.world.go(async move { write(&first, writer, &plan).await })
    };
    pipeline.jobs.lock().push(job);
}

fn write_blocking(first: &Entry, writer: u16, plan: &Writer) {
    for number in 0..plan.writes {
        // A retry lets the panic of its destination through.
        let write = || Sink::write(first, &Event { writer, number });
        let _told = catch_unwind(AssertUnwindSafe(write));
        if let Some((micros, every)) = plan.pause
            && number % every == 0
        {
            thread::sleep(Duration::from_micros(micros));
        }
    }
}

async fn write(first: &Entry, writer: u16, plan: &Writer) {
    for number in 0..plan.writes {
        let event = Event { writer, number };
        let write = caught(AsyncSink::write(first, &event));
        match plan.cancels {
            Some((every, micros)) if number % every == 0 => {
                let patience = clock::sleep(Duration::from_micros(micros));
                let _told = clock::before(write, patience).await;
            }
            _ => {
                let _told = write.await;
            }
        }
        if let Some((micros, every)) = plan.pause
            && number % every == 0
        {
            nap(micros).await;
        }
    }
}

/// Writes to what is closed, which is refused.
pub(crate) async fn write_late(first: &Entry) {
    let _told = AsyncSink::write(first, &Event { writer: LATE, number: 0 }).await;
}
