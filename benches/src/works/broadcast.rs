use std::sync::Arc;

use events_broadcast::Broadcaster;
use events_core::{Close, Sink};
use tokio::runtime::Runtime;

use crate::{
    Counter, Event, Round, Writer,
    contest::{Contest, Job},
    fan_out::{
        AsyncBroadcast, CrossbeamEach, FanOut, FlumeEach, InQueues, InTasks, MpscEach, OnThreads,
        TokioBroadcast,
    },
    runtime::{runtime, settle},
};

/// How many subscribers a broadcast has.
pub const SUBSCRIBERS: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// The same, where one event is in flight.
pub const SPARSE: [usize; 3] = [1, 100, 10_000];

/// More threads than this are nobody's way to broadcast.
const MOST_THREADS: usize = 100;

/// Sinks that are called on the writer's thread.
pub fn direct(subscribers: usize, events: usize) -> Vec<Contest> {
    let work = format!("broadcast/{subscribers}/direct");
    let broadcaster = move || -> Job {
        let sinks: Vec<_> = (0..subscribers).map(|_| Arc::new(Counter::default())).collect();
        let all = Broadcaster::new();
        for sink in &sinks {
            all.add(Arc::clone(sink) as _).expect("is open");
        }
        let event = Event::sample();
        Box::new(move || {
            for _ in 0..events {
                Sink::write(&all, &event).expect("is open");
            }
            all.close().wait().expect("closes well");
            Box::new(move || check(&sinks, events))
        })
    };
    let by_hand = move || -> Job {
        let sinks: Vec<_> = (0..subscribers).map(|_| Arc::new(Counter::default())).collect();
        let all: Vec<Arc<dyn Sink<Event>>> =
            sinks.iter().map(|sink| Arc::clone(sink) as _).collect();
        let event = Event::sample();
        Box::new(move || {
            for _ in 0..events {
                for sink in &all {
                    sink.write(&event).expect("takes everything");
                }
            }
            Box::new(move || check(&sinks, events))
        })
    };
    vec![
        Contest::new(work.clone(), "events", events, broadcaster),
        Contest::new(work, "plain loop", events, by_hand),
    ]
}

/// Sinks that are delivered to, each at its own pace.
pub fn queued(subscribers: usize, events: usize) -> Vec<Contest> {
    let mut all = vec![
        flood::<InTasks>(subscribers, events, Writer::Inside),
        flood::<InQueues>(subscribers, events, Writer::Inside),
        flood::<TokioBroadcast>(subscribers, events, Writer::Inside),
        flood::<AsyncBroadcast>(subscribers, events, Writer::Inside),
        flood::<MpscEach>(subscribers, events, Writer::Inside),
        flood::<FlumeEach>(subscribers, events, Writer::Inside),
    ];
    if subscribers <= MOST_THREADS {
        all.push(flood::<OnThreads>(subscribers, events, Writer::Inside));
        all.push(flood::<CrossbeamEach>(subscribers, events, Writer::Inside));
    }
    all.push(flood::<InTasks>(subscribers, events, Writer::Outside));
    all.push(flood::<TokioBroadcast>(subscribers, events, Writer::Outside));
    all
}

fn flood<F: FanOut>(subscribers: usize, events: usize, writer: Writer) -> Contest {
    let prepare = move || -> Job {
        let Stage { runtime, sinks, all } = Stage::<F>::set(subscribers, events);
        let event = Event::sample();
        Box::new(move || {
            writer.run(&runtime, async move {
                for _ in 0..events {
                    all.write(&event).await;
                }
                all.close().await;
            });
            Box::new(move || {
                drop(runtime);
                check(&sinks, events);
            })
        })
    };
    let work = format!("broadcast/{subscribers}/queued{}", suffix(writer));
    Contest::new(work, F::PEER, events, prepare)
}

/// What the writer pays, however long the delivery takes.
pub fn write(subscribers: usize, events: usize) -> Vec<Contest> {
    vec![
        writes::<InTasks>(subscribers, events),
        writes::<TokioBroadcast>(subscribers, events),
        writes::<MpscEach>(subscribers, events),
    ]
}

fn writes<F: FanOut>(subscribers: usize, events: usize) -> Contest {
    let prepare = move || -> Job {
        let Stage { runtime, sinks, all } = Stage::<F>::set(subscribers, events);
        let event = Event::sample();
        Box::new(move || {
            let all = Writer::Inside.run(&runtime, async move {
                for _ in 0..events {
                    all.write(&event).await;
                }
                all
            });
            Box::new(move || {
                runtime.block_on(all.close());
                drop(runtime);
                check(&sinks, events);
            })
        })
    };
    Contest::new(format!("broadcast/{subscribers}/write"), F::PEER, events, prepare)
}

/// One event at a time: the next is written when every sink has got the last.
pub fn sparse(subscribers: usize, events: usize) -> Vec<Contest> {
    vec![
        rounds::<InTasks>(subscribers, events, Writer::Inside),
        rounds::<TokioBroadcast>(subscribers, events, Writer::Inside),
        rounds::<AsyncBroadcast>(subscribers, events, Writer::Inside),
        rounds::<MpscEach>(subscribers, events, Writer::Inside),
        rounds::<FlumeEach>(subscribers, events, Writer::Inside),
        rounds::<InTasks>(subscribers, events, Writer::Outside),
        rounds::<TokioBroadcast>(subscribers, events, Writer::Outside),
        rounds::<MpscEach>(subscribers, events, Writer::Outside),
    ]
}

fn rounds<F: FanOut>(subscribers: usize, events: usize, writer: Writer) -> Contest {
    let prepare = move || -> Job {
        let runtime = runtime();
        let round = Arc::new(Round::new(subscribers as u64));
        let mut all = F::new(events);
        {
            let _inside = runtime.enter();
            for _ in 0..subscribers {
                all.add(Arc::clone(&round));
            }
        }
        let event = Event::sample();
        settle();
        Box::new(move || {
            let all = writer.run(&runtime, async move {
                for _ in 0..events {
                    all.write(&event).await;
                    round.done().await;
                }
                all
            });
            Box::new(move || {
                runtime.block_on(all.close());
                drop(runtime);
            })
        })
    };
    let work = format!("broadcast/{subscribers}/sparse{}", suffix(writer));
    Contest::new(work, F::PEER, events, prepare)
}

/// A broadcast whose subscribers wait for its first event.
struct Stage<F> {
    runtime: Runtime,
    sinks: Vec<Arc<Counter>>,
    all: F,
}

impl<F: FanOut> Stage<F> {
    fn set(subscribers: usize, events: usize) -> Self {
        let runtime = runtime();
        let sinks: Vec<_> = (0..subscribers).map(|_| Arc::new(Counter::default())).collect();
        let mut all = F::new(events);
        {
            let _inside = runtime.enter();
            for sink in &sinks {
                all.add(Arc::clone(sink));
            }
        }
        settle();
        Self { runtime, sinks, all }
    }
}

/// The seed's writer is a goroutine; a writer outside the runtime makes for a work of its own.
const fn suffix(writer: Writer) -> &'static str {
    match writer {
        Writer::Inside => "",
        Writer::Outside => "-outside",
    }
}

fn check(sinks: &[Arc<Counter>], events: usize) {
    assert!(sinks.iter().all(|sink| sink.count() == events as u64), "an event is missing");
}
