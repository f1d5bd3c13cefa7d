use std::{fmt, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use crate::{
    Cursor, Deliver, Event, Groups, Outlet, OutletParts, SinkError,
    clock::{self, Sleep},
    feed::{Chunk, Reader},
    groups::Group,
    isolate,
    outlet::Flow,
    seat::Seat,
};

/// How many events a worker delivers before other tasks have a turn: what tokio grants a task.
const TURN: usize = 128;
/// How many events a sink takes without waiting before it may share a worker again.
const CALM: usize = 128;

/// Drives one [`Reader`] into a sink, or into many at once, until all is delivered or given up: the
/// one loop under every queue and subscription, on threads and in tasks.
///
/// Dropping it, even before it ran, ends the accounts: what is pending is dropped, and closers are
/// told.
pub struct Worker<E: Event + Clone, D> {
    reader: Reader<E>,
    seat: Arc<Seat<E>>,
    /// Those who have yet to see the chunk at hand.
    members: Vec<Member<E, D>>,
    /// Those who have seen it.
    done: Vec<Member<E, D>>,
    /// The chunk that a worker it was forked from had at hand.
    begun: Option<Arc<Chunk<E>>>,
    linger: Linger,
    groups: Option<Arc<Groups<E, D>>>,
    group: Option<Arc<Group<E, D>>>,
    /// How many events were delivered since a sink last waited.
    calm: usize,
    /// How many events were delivered in this turn.
    spent: usize,
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
}

/// A sink with its account, which ends with it.
pub(crate) struct Member<E: Event + Clone, D> {
    outlet: Arc<Outlet<E>>,
    /// The outlet's: what is looked at for each event.
    cursor: Arc<Cursor>,
    sink: D,
}

impl<E: Event + Clone, D> Member<E, D> {
    /// See [`Outlet::sit`].
    pub(crate) fn sit(&self, seat: &Arc<Seat<E>>) -> bool {
        self.outlet.sit(seat)
    }
}

impl<E: Event + Clone, D> Drop for Member<E, D> {
    fn drop(&mut self) {
        self.outlet.worker_dropped();
    }
}

/// What a worker that asks for more is told.
enum Next<E> {
    Chunk(Arc<Chunk<E>>),
    /// Somebody called.
    Attend,
    /// There is and will be no more.
    End,
}

impl<E: Event + Clone, D: Deliver<E>> Worker<E, D> {
    /// The worker that delivers what `reader` reads to `sink`, and the account of it.
    pub fn new(
        reader: Reader<E>,
        sink: D,
        linger: Linger,
        parts: OutletParts<E>,
    ) -> (Arc<Outlet<E>>, Self) {
        let seat = Arc::new(Seat::new(None));
        let cursor = Arc::clone(&parts.cursor);
        let outlet = Arc::new(Outlet::new(&reader, parts, Arc::clone(&seat)));
        let member = Member { outlet: Arc::clone(&outlet), cursor, sink };
        let worker = Self {
            reader,
            seat,
            members: vec![member],
            done: Vec::new(),
            begun: None,
            linger,
            groups: None,
            group: None,
            calm: CALM,
            spent: 0,
        };
        (outlet, worker)
    }

    /// Has it share workers with others of its kind.
    pub fn among(mut self, groups: Arc<Groups<E, D>>) -> Self {
        self.groups = Some(groups);
        self
    }

    /// Delivers all there is and will be, then closes the sinks.
    pub async fn run(mut self) {
        if let Some(chunk) = self.begun.take() {
            self.pass(Some(&chunk)).await;
        }
        while !self.joins_others() {
            let next = self.next().await;
            self.welcome();
            match next {
                Next::Chunk(chunk) => self.pass(Some(&chunk)).await,
                Next::Attend => self.pass(None).await,
                Next::End => {
                    while let Some(member) = self.members.pop() {
                        self.finish(member, None).await;
                    }
                }
            }
        }
    }

    /// Whether nobody is left to deliver to, or all have gone to another worker.
    fn joins_others(&mut self) -> bool {
        let at = self.reader.at();
        if let Some(groups) = &self.groups {
            if self.members.is_empty() {
                self.members
                    .extend(self.group.take().map(|own| groups.close(&own)).into_iter().flatten());
            } else if self.calm >= CALM && self.reader.feed().head() == at {
                self.group = groups.join(&mut self.members, self.group.take(), &self.seat, at);
            }
        }
        self.members.is_empty()
    }

    /// Takes in those who have joined.
    fn welcome(&mut self) {
        if let Some(group) = &self.group {
            group.go_on(&mut self.members);
        }
    }

    /// What to do next, when there is something.
    async fn next(&mut self) -> Next<E> {
        let Self { reader, seat, group, linger, spent, .. } = self;
        let next = |chunk: Option<_>| Poll::Ready(chunk.map_or(Next::End, Next::Chunk));
        let mut alarm: Option<Sleep> = None;
        poll_fn(|cx| {
            // In the log or at the seat, a chunk is always found by who has to give it up.
            if let Poll::Ready(chunk) =
                reader.poll_taking(cx, linger.events, |chunk| seat.enter(chunk))
            {
                return next(chunk);
            }
            if linger.events > 1
                && let Some(since) = reader.feed().since(reader.at())
            {
                let left =
                    || linger.limit.saturating_sub(clock::now().saturating_duration_since(since));
                let alarm = alarm.get_or_insert_with(|| clock::sleep(left()));
                if pin!(alarm).poll(cx).is_ready()
                    && let Poll::Ready(chunk) = reader.poll_taking(cx, 1, |chunk| seat.enter(chunk))
                {
                    return next(chunk);
                }
            }
            *spent = 0;
            if let Some(group) = group {
                group.dry(reader.at());
            }
            if seat.rest(cx.waker()) { Poll::Pending } else { Poll::Ready(Next::Attend) }
        })
        .await
    }

    /// Gives `chunk`, if there is one, to each sink in turn, and looks after who called.
    async fn pass(&mut self, chunk: Option<&Arc<Chunk<E>>>) {
        while let Some(member) = self.members.pop() {
            let flow = self.deliver(&member, chunk).await;
            if flow == Flow::Go && member.cursor.reached() < member.cursor.stop() {
                self.done.push(member);
            } else {
                self.finish(member, chunk).await;
            }
            if let Some(chunk) = chunk {
                self.spent += chunk.len();
                self.calm = self.calm.saturating_add(chunk.len());
                if self.spent >= TURN {
                    self.spent = 0;
                    yield_now().await;
                }
            }
        }
        std::mem::swap(&mut self.members, &mut self.done);
        if let Some(chunk) = chunk {
            self.reader.advance_to(chunk.end());
        }
    }

    /// Gives one sink what it has not had of `chunk`.
    async fn deliver(&mut self, member: &Member<E, D>, chunk: Option<&Arc<Chunk<E>>>) -> Flow {
        let Member { outlet, cursor, sink } = member;
        if cursor.is_called() && outlet.publish() == Flow::Stop {
            return Flow::Stop;
        }
        let Some(events) = chunk else { return Flow::Go };
        loop {
            // Somebody may wait for each event of a sink that is alone, and it may be slow.
            let prompt = self.members.is_empty() && self.done.is_empty();
            let run = deliver_run(member, events, prompt);
            let flow = match self.drive(outlet, chunk, run).await {
                None => return Flow::Stop,
                Some(Ok(flow)) => return flow,
                Some(Err(panicked)) => {
                    // The events over which it panicked have failed; it goes on with the next.
                    let events = events.from(cursor.reached());
                    if events.is_empty() {
                        return Flow::Go;
                    }
                    outlet.fail(&events[..sink.span(events.len())], &panicked)
                }
            };
            if flow == Flow::Stop {
                return flow;
            }
        }
    }

    /// Ends the account of one sink: hands on what will not be delivered, and closes the sink.
    async fn finish(&mut self, member: Member<E, D>, chunk: Option<&Arc<Chunk<E>>>) {
        let outlet = &member.outlet;
        outlet.give_up_rest("given up by an abort");
        let closed = self.drive(outlet, chunk, outlet.close_sink()).await;
        outlet.finish(closed.and_then(|closed| closed.and_then(|closed| closed).err()));
    }

    /// Polls what a sink does; its panic is an error. The other members do not wait for it. `None`
    /// if a closer has lost patience and ended the account.
    async fn drive<T>(
        &mut self,
        outlet: &Outlet<E>,
        chunk: Option<&Arc<Chunk<E>>>,
        future: impl Future<Output = T>,
    ) -> Option<Result<T, SinkError>> {
        let mut future = pin!(future);
        poll_fn(|cx| match isolate::call(self.seat.id(), || future.as_mut().poll(cx)) {
            Ok(Poll::Ready(output)) => Poll::Ready(Some(Ok(output))),
            Err(panicked) => Poll::Ready(Some(Err(panicked))),
            Ok(Poll::Pending) => {
                self.spent = 0;
                outlet.publish();
                self.fork(outlet, chunk);
                outlet.poll_ended(cx).map(|()| None)
            }
        })
        .await
    }

    /// Leaves this task to the sink that waits; the others go on in a new one.
    fn fork(&mut self, waiting: &Outlet<E>, chunk: Option<&Arc<Chunk<E>>>) {
        self.calm = 0;
        let Some(groups) = &self.groups else { return };
        if self.members.is_empty() && self.done.is_empty() {
            return;
        }
        let seat = Arc::new(Seat::new(chunk.cloned()));
        if waiting.sit(&seat) {
            seat.call();
        }
        groups.spawn(Self {
            reader: self.reader.clone(),
            seat: std::mem::replace(&mut self.seat, seat),
            members: std::mem::take(&mut self.members),
            done: std::mem::take(&mut self.done),
            begun: chunk.cloned(),
            linger: self.linger,
            groups: self.groups.clone(),
            group: self.group.take(),
            calm: CALM,
            spent: 0,
        });
    }
}

/// Delivers the events of `chunk` that the sink has not had yet, one after the other.
async fn deliver_run<E: Event + Clone, D: Deliver<E>>(
    member: &Member<E, D>,
    chunk: &Chunk<E>,
    prompt: bool,
) -> Flow {
    let Member { outlet, cursor, sink } = member;
    loop {
        if cursor.bound().is_some() && outlet.skip_lag() == Flow::Stop {
            return Flow::Stop;
        }
        let at = cursor.reached();
        let events = chunk.from(at);
        let left = cursor.stop().saturating_sub(at).min(events.len() as u64) as usize;
        if left == 0 {
            return outlet.publish();
        }
        let events = &events[..sink.span(left)];
        let flow = match sink.deliver(events).await {
            Ok(()) => {
                cursor.settle(events.len() as u64);
                if prompt || cursor.is_called() { outlet.publish() } else { Flow::Go }
            }
            Err(error) => outlet.fail(events, &error),
        };
        if flow == Flow::Stop {
            return flow;
        }
    }
}

/// Lets other tasks run; a thread comes back at once.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<E: Event + Clone, D> Drop for Worker<E, D> {
    fn drop(&mut self) {
        // Before the reader, without which the log lets go of what the accounts have yet to hand on.
        self.members.clear();
        self.done.clear();
        if let (Some(groups), Some(group)) = (&self.groups, &self.group) {
            drop(groups.close(group));
        }
    }
}

impl<E: Event + Clone, D> fmt::Debug for Worker<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("reader", &self.reader)
            .field("sinks", &(self.members.len() + self.done.len()))
            .finish_non_exhaustive()
    }
}
