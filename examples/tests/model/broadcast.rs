//! Builds a broadcaster: sinks that join and leave, early and late.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use events_broadcast::{Broadcaster, Delivery};
use events_core::{Close, engine::isolate};
use parking_lot::Mutex;

use crate::{
    event::Event,
    found::{Account, Kind, Member, Window},
    journal::{Dead, Journal},
    pipeline::{Entry, Pipeline},
    plan::{self, Drive, End, World},
    puller::{self, Pulled},
};

impl Pipeline {
    pub(crate) fn broadcaster(
        self: &Arc<Self>,
        name: &str,
        plan: &plan::Broadcaster,
        entry: &Arc<Journal>,
    ) -> Broadcaster<Event> {
        let all = Broadcaster::new();
        for (at, member) in plan.direct.iter().enumerate() {
            self.member(format!("{name}, member {at}"), member, entry, &all);
        }
        for (at, plan) in plan.spawned.iter().enumerate() {
            let name = format!("{name}, subscriber {at}");
            let exit = Journal::new(&self.time);
            let next = self.stage(&name, &plan.next, &exit, true);
            let subscriber = Joining {
                name,
                plan: plan.clone(),
                entry: Arc::clone(entry),
                exit,
                next,
                all: all.clone(),
            };
            let Some(moment) = plan.joins else {
                subscriber.join(self);
                continue;
            };
            let pipeline = Arc::clone(self);
            self.beside(async move {
                moment.come(&pipeline.written).await;
                subscriber.join(&pipeline);
            });
        }
        for (at, plan) in plan.pulled.iter().enumerate() {
            let joining = self.time.tick();
            let subscription = all.subscriber().lag(plan.lag).subscribe().unwrap();
            let window = Window::from(joining, self.time.tick());
            let name = format!("{name}, puller {at}");
            let pulled = Arc::new(Pulled::new(name, Arc::clone(entry), plan.lag, window));
            self.found.lock().pulled.push(Arc::clone(&pulled));
            self.beside(puller::pull(subscription, plan.clone(), pulled, Arc::clone(&self.time)));
        }
        all
    }

    fn member(
        self: &Arc<Self>,
        name: String,
        plan: &plan::Member,
        entry: &Arc<Journal>,
        all: &Broadcaster<Event>,
    ) {
        let exit = Journal::new(&self.time);
        // A broadcaster that is dropped lets go of its members without closing them.
        let sink = self.stage(&name, &plan.next, &exit, false);
        let joining = self.time.tick();
        let id = all.add(sink).unwrap();
        let window = Arc::new(Window::from(joining, self.time.tick()));
        if let Some(moment) = plan.leaves {
            let (pipeline, all, window) = (Arc::clone(self), all.clone(), Arc::clone(&window));
            self.beside(async move {
                moment.come(&pipeline.written).await;
                let removed = window.leave(&pipeline.time, || all.remove(id));
                drop(all);
                // It is not closed by being removed.
                if let Some(sink) = removed {
                    let _ended = isolate::close(usize::MAX, &*sink).await;
                }
            });
        }
        self.found.lock().members.push(Member { name, entry: Arc::clone(entry), exit, window });
    }
}

/// A subscriber that has yet to join.
struct Joining {
    name: String,
    plan: plan::Subscriber,
    entry: Arc<Journal>,
    exit: Arc<Journal>,
    next: Entry,
    all: Broadcaster<Event>,
}

impl Joining {
    fn join(self, pipeline: &Arc<Pipeline>) {
        let Self { name, plan, entry, exit, next, all } = self;
        let delivers_to = Arc::downgrade(&next);
        let dead = Arc::new(Dead::default());
        let subscriber = all.subscriber().lag(plan.lag).dead_letter(Arc::clone(&dead));
        let joining = pipeline.time.tick();
        let delivery = match (plan.drive, pipeline.world) {
            (Drive::Pair, _) => pipeline.drive(subscriber.pair(next).unwrap()),
            (Drive::Own, World::Threads) => subscriber.spawn(next).unwrap(),
            (Drive::Own, _) => subscriber.spawn_tokio(next).unwrap(),
        };
        let window = Window::from(joining, pipeline.time.tick());
        let delivery = Arc::new(delivery);
        let counted = Arc::clone(&delivery);
        let account = Arc::new(Account {
            name,
            entry,
            exit,
            dead,
            next: delivers_to,
            stats: Mutex::new(Some(Box::new(move || counted.stats()))),
            kind: Kind::Subscriber { lag: plan.lag },
            drive: plan.drive,
            window,
            aborted: AtomicU64::new(u64::MAX),
        });
        let mut found = pipeline.found.lock();
        for (name, when) in &found.given_up {
            if account.name.starts_with(name) {
                account.aborted.fetch_min(*when, Ordering::SeqCst);
            }
        }
        if let (Some(when), Drive::Pair) = (found.dismissed, plan.drive) {
            account.window.leaving.fetch_min(when, Ordering::SeqCst);
        }
        found.accounts.push(Arc::clone(&account));
        drop(found);
        if let Some((moment, end)) = plan.leaves {
            let leaves = leave(Arc::clone(pipeline), delivery, account, end);
            let written = Arc::clone(&pipeline.written);
            pipeline.beside(async move {
                moment.come(&written).await;
                leaves.await;
            });
        }
    }
}

/// Ends one subscriber alone.
async fn leave(
    pipeline: Arc<Pipeline>,
    delivery: Arc<Delivery<Event>>,
    account: Arc<Account>,
    end: End,
) {
    let time = &pipeline.time;
    if end.gives_up() {
        // With it whatever it delivers to.
        let mut found = pipeline.found.lock();
        found.given_up.push((account.name.clone(), time.tick()));
        for inner in &found.accounts {
            if inner.name.starts_with(&account.name) {
                inner.may_abort(time);
            }
        }
    }
    let closing = account.window.leave(time, || match end {
        End::CloseWithin(micros) => delivery.close_within(Duration::from_micros(micros)),
        End::AbortAndClose => {
            delivery.abort();
            delivery.close()
        }
        _ => delivery.close(),
    });
    // How it ends stands in its account.
    let _ended = closing.await;
}
