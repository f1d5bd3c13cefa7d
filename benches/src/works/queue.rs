use std::{sync::Arc, thread};

use crate::{
    Counter, Event,
    contest::{Contest, Job},
    pipe::{ByTask, ByThread, Crossbeam, Flume, Mpsc, Pipe},
    runtime::{runtime, settle},
};

/// So many producers write to one queue, together `events` events.
pub fn queue(producers: usize, events: usize) -> Vec<Contest> {
    vec![
        contest::<ByThread>(producers, events),
        contest::<ByTask>(producers, events),
        contest::<Crossbeam>(producers, events),
        contest::<Flume>(producers, events),
        contest::<Mpsc>(producers, events),
    ]
}

fn contest<P: Pipe>(producers: usize, events: usize) -> Contest {
    let each = events / producers;
    let prepare = move || -> Job {
        let runtime = runtime();
        let counter = Arc::new(Counter::default());
        let pipe = {
            let _inside = runtime.enter();
            P::open(Arc::clone(&counter))
        };
        let event = Event::sample();
        settle();
        Box::new(move || {
            thread::scope(|scope| {
                for _ in 0..producers {
                    scope.spawn(|| (0..each).for_each(|_| pipe.write(&event)));
                }
            });
            pipe.close();
            Box::new(move || {
                drop(runtime);
                assert_eq!(counter.count(), (each * producers) as u64);
            })
        })
    };
    Contest::new(format!("queue/{producers}p"), P::PEER, each * producers, prepare)
}
