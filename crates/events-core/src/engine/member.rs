use std::sync::Arc;

use crate::{
    engine::{
        account::{Account, Flow},
        cursor::Cursor,
        deliver::Deliver,
        feed::Chunk,
        worker_handle::WorkerHandle,
    },
    error::SinkError,
    event::Event,
};

/// A sink with its account.
pub(crate) struct Member<E, D> {
    pub(crate) account: Arc<Account<E>>,
    /// The account's: what is looked at for each event.
    pub(crate) cursor: Arc<Cursor>,
    pub(crate) sink: D,
}

impl<E: Event + Clone, D> Member<E, D> {
    /// See [`Account::attach`].
    pub(crate) fn attach(&self, handle: &Arc<WorkerHandle<E>>) -> bool {
        self.account.attach(handle)
    }

    /// Tells those who wait how far the sink has come, and looks after them.
    pub(crate) fn publish(&self) -> Flow {
        if self.cursor.publish() { self.account.serve_waiters() } else { Flow::Go }
    }

    /// Whether nothing more is to be delivered. Serves whoever has notified it.
    pub(crate) fn is_done(&self) -> bool {
        (self.cursor.is_notified() && self.publish() == Flow::Stop) || self.is_at_end()
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.cursor.reached() >= self.cursor.stop()
    }

    /// Its worker is gone: see [`Account::worker_dropped`].
    pub(crate) fn give_up(&self) {
        self.account.worker_dropped();
    }
}

impl<E: Event + Clone, D: Deliver<E>> Member<E, D> {
    /// Delivers the events of `chunk` that the sink has not had yet, one after the other.
    ///
    /// If it is `prompt`, others hear of each at once; if not, at the end or when they ask.
    #[expect(clippy::manual_async_fn, reason = "an async fn would hold its arguments twice")]
    pub(crate) fn deliver(&self, chunk: &Chunk<E>, prompt: bool) -> impl Future<Output = Flow> {
        async move {
            let cursor = &*self.cursor;
            if cursor.is_notified() && self.unpaused(self.publish()).await == Flow::Stop {
                return Flow::Stop;
            }
            // Kept here, since reading back at once what was just written would be what takes the
            // time.
            let mut at = cursor.reached();
            loop {
                if cursor.bound().is_some() {
                    if self.account.skip_lag(chunk.first()) == Flow::Stop {
                        return Flow::Stop;
                    }
                    at = cursor.reached();
                }
                let events = chunk.from(at);
                let left = cursor.stop().saturating_sub(at).min(events.len() as u64) as usize;
                if left == 0 {
                    return self.publish();
                }
                let events = &events[..self.sink.span(left)];
                at += events.len() as u64;
                let is_last = at == chunk.end();
                let flow = match self.sink.deliver(events).await {
                    Ok(()) => {
                        cursor.settle_to(at);
                        if prompt || is_last || cursor.is_notified_at(at) {
                            self.publish()
                        } else {
                            Flow::Go
                        }
                    }
                    Err(error) => self.account.fail(events, &error),
                };
                let flow = match flow {
                    Flow::Pause => self.unpaused(flow).await,
                    flow => flow,
                };
                if is_last || flow == Flow::Stop {
                    return flow;
                }
            }
        }
    }

    /// What to do after `flow`, once that is not to wait.
    async fn unpaused(&self, mut flow: Flow) -> Flow {
        while flow == Flow::Pause {
            self.account.resumed().await;
            flow = self.publish();
        }
        flow
    }

    /// Settles the events over which the sink panicked; it goes on with the next.
    pub(crate) fn fail_next(&self, chunk: &Chunk<E>, panicked: &SinkError) {
        let events = chunk.range(self.cursor.reached()..self.cursor.stop());
        if !events.is_empty() {
            self.account.fail(&events[..self.sink.span(events.len())], panicked);
        }
    }
}

impl<E, D: Clone> Clone for Member<E, D> {
    fn clone(&self) -> Self {
        Self {
            account: Arc::clone(&self.account),
            cursor: Arc::clone(&self.cursor),
            sink: self.sink.clone(),
        }
    }
}

/// A member that is no longer in the worker's list, but whose account has not ended.
pub(crate) struct EndOnDrop<'a, E: Event + Clone>(pub(crate) &'a Account<E>);

impl<E: Event + Clone> Drop for EndOnDrop<'_, E> {
    fn drop(&mut self) {
        self.0.worker_dropped();
    }
}
