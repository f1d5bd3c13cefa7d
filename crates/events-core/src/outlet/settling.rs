//! The worker's side: each event is settled, and whoever waits for that is told.

use std::sync::Arc;

use super::{Flow, Outlet, State};
use crate::{DeadLetter, ErrorKind, Event, SinkError, isolate, seat::Seat};

impl<E: Event + Clone> Outlet<E> {
    /// Tells those who wait how far the sink has come, and looks after them.
    fn publish(&self) -> Flow {
        if self.parts.cursor.publish() { self.attend() } else { Flow::Go }
    }

    /// The sink refused these events for good.
    pub(crate) fn fail(&self, events: &[E], error: &SinkError) -> Flow {
        let count = events.len() as u64;
        let mut gone = error.kind() == ErrorKind::Closed;
        let ours = self.claim(count, |state| {
            if state.aborted {
                state.undelivered += count;
                // An abort closes what is inside, which is no news of the destination.
                gone = false;
            }
            let kind = error.kind();
            if state.aborted && matches!(kind, ErrorKind::Closed | ErrorKind::Undelivered) {
                state.abandoned += count;
            } else {
                state.failed += count;
            }
            if gone {
                let why = "the destination closed before its queue did";
                state.gone = Some(SinkError::new(ErrorKind::Closed, why));
            }
            state.handing_over += 1;
        });
        if !ours {
            return Flow::Stop;
        }
        if gone {
            self.begin_close();
            // The worker is to see that it is done, before it takes another chunk.
            self.parts.cursor.call();
        }
        self.hand_over(events, error);
        self.handed_over();
        let flow = self.publish();
        // What is behind a destination that is gone is given up, not offered to it.
        if gone { Flow::Stop } else { flow }
    }

    /// Leaves out what lies further behind than the bound allows.
    pub(crate) fn skip_lag(&self) -> Flow {
        match self.parts.cursor.lag(self.feed.head()) {
            0 => Flow::Go,
            count => self.lag(count),
        }
    }

    /// The worker lags by `count` events more than its bound allows: it skips them, or ends.
    fn lag(&self, count: u64) -> Flow {
        if !self.claim(count, |state| state.skipped += count) {
            return Flow::Stop;
        }
        if self.parts.disconnect {
            let why = "the sink lagged too far behind and was disconnected";
            self.state.lock().gone = Some(SinkError::new(ErrorKind::Closed, why));
            tracing::warn!(queue = self.name(), count, "disconnected: the sink lags");
            self.begin_close();
        } else {
            tracing::warn!(queue = self.name(), count, "dropped the oldest events: the sink lags");
        }
        self.publish()
    }

    /// Settles `count` events as not delivered, unless somebody else has.
    fn claim(&self, count: u64, account: impl FnOnce(&mut State<E>)) -> bool {
        let mut state = self.state.lock();
        if state.taken.is_some() {
            return false;
        }
        account(&mut state);
        self.parts.cursor.settle(count);
        true
    }

    /// Looks after all who want attention.
    pub(crate) fn attend(&self) -> Flow {
        self.parts.cursor.attended();
        let mut state = self.state.lock();
        let flushing = state.flushed(self.parts.cursor.reached());
        let flow = state.flow();
        let again = state.flush_at != u64::MAX || flow == Flow::Stop;
        drop(state);
        flushing.wake();
        let line = self.feed.admit();
        if again || line {
            self.parts.cursor.call();
        }
        flow
    }

    /// The worker sits at `seat` from now on. True if somebody called: perhaps at the seat it left,
    /// where it is not heard any more, so the caller is to [call](Seat::call) at the new one.
    #[must_use]
    pub(crate) fn sit(&self, seat: &Arc<Seat<E>>) -> bool {
        let before = std::mem::replace(&mut self.state.lock().seat, Arc::clone(seat));
        drop(before);
        self.parts.cursor.is_called()
    }

    /// Gives these events to the dead letter.
    pub(super) fn hand_over(&self, events: &[E], error: &SinkError) {
        tracing::warn!(
            queue = self.name(),
            count = events.len(),
            kind = %error.kind(),
            "events were not delivered"
        );
        let Some(dead_letter) = &self.parts.dead_letter else { return };
        let seat = self.seat().id();
        for event in events {
            let refused = isolate::call(seat, || {
                dead_letter.write(&DeadLetter { event: event.clone(), error: error.clone() })
            });
            if let Err(refused) = refused.and_then(|result| result) {
                let kind = refused.kind();
                tracing::error!(queue = self.name(), %kind, "the dead letter was refused");
            }
        }
    }
}

impl<E> Outlet<E> {
    pub(super) fn seat(&self) -> Arc<Seat<E>> {
        Arc::clone(&self.state.lock().seat)
    }
}
