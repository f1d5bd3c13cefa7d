//! The one loop under every queue and subscription: see [`Worker`].

mod sharing;
#[cfg(all(test, not(loom)))]
mod tests;
mod walk;

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Poll, ready},
    time::{Duration, Instant},
};

use walk::{Step, Walk};

use crate::{
    config_error::ConfigError,
    engine::{
        account::{Account, AccountConfig},
        deliver::Deliver,
        feed::{Chunk, Reader},
        groups::{Group, Groups},
        isolate,
        member::{EndOnDrop, Member},
        worker_handle::WorkerHandle,
    },
    event::Event,
    runtime::{
        clock::{self, Sleep},
        dispose::dispose_each,
    },
};

/// How many events a sink takes without waiting before it looks for a worker to share.
const STEADY: usize = 128;

/// A batch that waits longer than this for more events has been misconfigured.
const LONGEST_LINGER: Duration = Duration::from_hours(24);

/// Drives one [`Reader`] into a sink, or into many at once, until all is delivered or given up: the
/// one loop under every queue and subscription, on threads and in tasks.
///
/// Dropping it, even before it ran, ends the accounts: what is pending is dropped, and closers are
/// told.
pub struct Worker<E: Event + Clone, D> {
    reader: Reader<E>,
    handle: Arc<WorkerHandle<E>>,
    members: Arc<Vec<Member<E, D>>>,
    /// The chunk that a worker it was forked from had at hand.
    in_hand: Option<Arc<Chunk<E>>>,
    linger: Linger,
    groups: Option<Arc<Groups<E, D>>>,
    group: Option<Arc<Group<E, D>>>,
    /// How many events were delivered since a sink last waited or was left to another worker.
    since_wait: usize,
    /// How many events were delivered in this turn.
    delivered_this_turn: usize,
    /// Since when it has not run dry, if that has come to matter.
    busy_since: Option<Instant>,
}

/// How long a worker waits for how many events.
#[derive(Debug, Clone, Copy)]
pub struct Linger {
    /// Enough events not to wait for more.
    pub events: usize,
    /// How long the first of them waits at most.
    pub limit: Duration,
}

impl Linger {
    /// Takes what is there.
    pub const NONE: Self = Self { events: 1, limit: Duration::ZERO };

    /// Refuses, as the setting `batch`, what makes no sense.
    ///
    /// # Errors
    /// No event at all, or a wait of more than a day.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.events == 0 {
            return Err(ConfigError::new("batch", "must hold at least 1 event, was 0"));
        }
        if self.limit > LONGEST_LINGER {
            return Err(ConfigError::new("batch", "must not linger for more than a day"));
        }
        Ok(())
    }
}

/// What a worker that asks for more is told.
enum Next<E> {
    Chunk(Arc<Chunk<E>>),
    /// Somebody has notified it.
    Notified,
    /// There is and will be no more.
    End,
}

impl<E: Event + Clone, D: Deliver<E>> Worker<E, D> {
    /// The worker that delivers what `reader` reads to `sink`, and the account of it.
    pub fn new(
        reader: Reader<E>,
        sink: D,
        linger: Linger,
        parts: AccountConfig<E>,
    ) -> (Arc<Account<E>>, Self) {
        let handle = Arc::new(WorkerHandle::new(None));
        let cursor = Arc::clone(&parts.cursor);
        let account = Arc::new(Account::new(&reader, parts, Arc::clone(&handle)));
        let member = Member { account: Arc::clone(&account), cursor, sink };
        let worker = Self {
            reader,
            handle,
            members: Arc::new(vec![member]),
            in_hand: None,
            linger,
            groups: None,
            group: None,
            since_wait: STEADY,
            delivered_this_turn: 0,
            busy_since: None,
        };
        (account, worker)
    }

    /// Has it share workers with others of its kind.
    pub fn with_groups(mut self, groups: Arc<Groups<E, D>>) -> Self {
        groups.add_sink();
        self.groups = Some(groups);
        self
    }

    /// Delivers all there is and will be, then closes the sinks.
    #[expect(clippy::manual_async_fn, reason = "an async fn would hold the worker twice")]
    pub fn run(mut self) -> impl Future<Output = ()> {
        async move { self.deliver_all().await }
    }

    async fn deliver_all(&mut self) {
        // Where it was forked from, some may have been told to end that nobody has looked at yet. A
        // pass looks at all of them.
        if self.in_hand.is_none() {
            self.finish_those(Member::is_done).await;
        }
        while !self.joins_others() {
            match self.next().await {
                Next::Chunk(chunk) => {
                    if self.pass(chunk).await {
                        self.finish_those(Member::is_done).await;
                    }
                }
                Next::Notified => self.finish_those(Member::is_done).await,
                Next::End => self.finish_those(|_| true).await,
            }
        }
        // Nothing of what is settled is kept by an account that outlives the worker.
        self.handle.let_go();
    }

    /// What to do next, when there is something, together with those who have joined meanwhile.
    async fn next(&mut self) -> Next<E> {
        if let Some(chunk) = self.in_hand.take() {
            return Next::Chunk(chunk);
        }
        let Self {
            reader, handle, members, group, linger, delivered_this_turn, busy_since, ..
        } = self;
        let next = |chunk: Option<_>| Poll::Ready(chunk.map_or(Next::End, Next::Chunk));
        let mut alarm: Option<Sleep> = None;
        let mut joined = false;
        let next = poll_fn(|cx| {
            // In the log or in the handle, a chunk is always found by who has to give it up.
            let mut enter = |chunk: &_| {
                let before;
                (before, joined) = handle.hold(chunk);
                before
            };
            if let Poll::Ready(chunk) = reader.poll_taking(cx, linger.events, &mut enter) {
                return next(chunk);
            }
            if linger.events > 1
                && let Some(since) = reader.feed().since(reader.at())
            {
                let left =
                    || linger.limit.saturating_sub(clock::now().saturating_duration_since(since));
                let alarm = alarm.get_or_insert_with(|| clock::sleep(left()));
                if pin!(alarm).poll(cx).is_ready()
                    && let Poll::Ready(chunk) = reader.poll_taking(cx, 1, &mut enter)
                {
                    return next(chunk);
                }
            }
            *delivered_this_turn = 0;
            *busy_since = None;
            let idle_at = group.is_some().then_some(reader.at());
            if handle.sleep(cx.waker(), idle_at) {
                Poll::Pending
            } else {
                Poll::Ready(Next::Notified)
            }
        })
        .await;
        if let Some(group) = group {
            if !matches!(next, Next::Chunk(_)) {
                handle.resume();
                joined = true;
            }
            if joined {
                group.take_arrivals(members);
            }
        }
        next
    }

    /// Gives `chunk` to each sink in turn. True if it may have been the last for one of them.
    #[expect(clippy::manual_async_fn, reason = "an async fn would hold its arguments twice")]
    fn pass(&mut self, chunk: Arc<Chunk<E>>) -> impl Future<Output = bool> {
        async move {
            let members = Arc::clone(&self.members);
            let mut walk = Walk::new(members.len(), self.delivered_this_turn);
            let mut delivery = pin!(None);
            poll_fn(|cx| {
                loop {
                    // Somebody may wait for each event of a sink that is alone, and it may be slow.
                    let prompt = members.len() == 1;
                    let deliver = |member| Member::deliver(member, &chunk, prompt);
                    let step = isolate::call(self.handle.id(), || {
                        walk.advance(&members, chunk.len(), deliver, delivery.as_mut(), cx)
                    });
                    match step {
                        Ok(Step::Through) => return Poll::Ready(()),
                        Ok(Step::Yields) => {
                            self.share(&mut walk, &chunk);
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        Ok(Step::Waits) => {
                            walk.stop_here();
                            self.fork_in_pass(walk.at, &chunk);
                            members[walk.at].publish();
                            // A closer that has lost patience has ended the account.
                            ready!(members[walk.at].account.poll_ended(cx));
                            isolate::release(self.handle.id(), || delivery.set(None));
                            return Poll::Ready(());
                        }
                        Err(panicked) => {
                            isolate::release(self.handle.id(), || delivery.set(None));
                            members[walk.at].fail_next(&chunk, &panicked);
                        }
                    }
                }
            })
            .await;
            self.delivered_this_turn = walk.delivered_this_turn;
            self.since_wait = self.since_wait.saturating_add(chunk.len());
            self.reader.advance_to(chunk.end());
            walk.has_ended_some
        }
    }

    /// Ends the accounts of the members that `is_done` says, one after the other.
    async fn finish_those(&mut self, is_done: impl Fn(&Member<E, D>) -> bool) {
        // From the back, where taking one out moves no other. Those that are left when one has to
        // wait are somebody else's to finish.
        let mut rest = self.members.len();
        while let Some(index) = self.members.iter().take(rest).rposition(&is_done) {
            let member = Arc::make_mut(&mut self.members).swap_remove(index);
            rest = index;
            if let Some(groups) = &self.groups {
                groups.remove_sinks(1);
            }
            // Boxed, since it is the end, and its size would be the worker's all along.
            Box::pin(self.finish(&member)).await;
            // The sink may go with it, and others are in this task.
            isolate::release(self.handle.id(), || drop(member));
        }
    }

    /// Ends one account: hands on what will not be delivered, and closes the sink.
    async fn finish(&mut self, member: &Member<E, D>) {
        let account = &member.account;
        let _if_dropped = EndOnDrop(account);
        account.give_up_rest("given up by an abort");
        let mut closing = Box::pin(account.close_sink());
        let closed =
            poll_fn(|cx| match isolate::call(self.handle.id(), || closing.as_mut().poll(cx)) {
                Ok(Poll::Ready(closed)) => Poll::Ready(closed),
                Err(panicked) => Poll::Ready(Err(panicked)),
                Ok(Poll::Pending) => {
                    let others = std::mem::take(&mut self.members);
                    self.fork(account, others, None);
                    account.poll_ended(cx).map(Ok)
                }
            });
        let closed = closed.await;
        isolate::release(self.handle.id(), || drop(closing));
        account.finish(closed.err());
    }
}

impl<E: Event + Clone, D> Drop for Worker<E, D> {
    fn drop(&mut self) {
        // Before the reader, without which the log lets go of what the accounts have yet to hand on.
        self.members.iter().for_each(Member::give_up);
        let sinks = self.members.len();
        if let Some(members) = Arc::get_mut(&mut self.members) {
            dispose_each(std::mem::take(members));
        }
        let Some(groups) = &self.groups else { return };
        groups.remove_sinks(sinks);
        if let Some(group) = &self.group {
            let late = groups.close(group);
            late.iter().for_each(Member::give_up);
            groups.remove_sinks(late.len());
            dispose_each(late);
        }
    }
}

impl<E: Event + Clone, D> fmt::Debug for Worker<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("reader", &self.reader)
            .field("sinks", &self.members.len())
            .finish_non_exhaustive()
    }
}
