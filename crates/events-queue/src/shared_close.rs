//! The one close of a sink that several lanes deliver to.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use events_core::{
    Close, Closing, Event, SinkError,
    engine::{
        WakeList, WakerKey, WakerSet,
        feed::Feed,
        isolate,
        sync::{AtomicBool, Mutex, Ordering},
    },
};

/// What one lane closes when it has ended, in the place of the sink.
///
/// The last lane to end begins the sink's close. Only the first lane waits for its end and tells
/// how it went, so that one close is told once. None hands an abort on: the queue does, once all
/// lanes know of it.
pub(crate) struct LaneEnd<E> {
    shared: Arc<Shared<E>>,
    is_first: bool,
    /// Whether this lane has ended: a worker and a closer that takes over may both say so.
    ended: AtomicBool,
}

struct Shared<E> {
    sink: Arc<dyn Close>,
    /// Those of all lanes, which close together.
    feeds: Box<[Arc<Feed<E>>]>,
    state: Mutex<State>,
}

struct State {
    /// How many lanes have not ended.
    left: usize,
    /// The close of the sink, once begun; absent while somebody polls it.
    closing: Option<Closing<'static>>,
    /// Whether there was a wake-up since somebody last took `closing` to poll it.
    woken: bool,
    end: Option<Result<(), SinkError>>,
    waiting: WakerSet,
}

/// What each of the lanes with these `feeds` is to close, instead of `sink`.
pub(crate) fn lane_ends<E: Event>(
    sink: Arc<dyn Close>,
    feeds: Box<[Arc<Feed<E>>]>,
) -> impl Iterator<Item = Arc<dyn Close>> {
    let lanes = feeds.len();
    let state =
        State { left: lanes, closing: None, woken: false, end: None, waiting: WakerSet::new() };
    let shared = Arc::new(Shared { sink, feeds, state: Mutex::new(state) });
    (0..lanes).map(move |lane| {
        let shared = Arc::clone(&shared);
        let end = LaneEnd { shared, is_first: lane == 0, ended: AtomicBool::new(false) };
        Arc::new(end) as Arc<dyn Close>
    })
}

impl<E: Event> Close for LaneEnd<E> {
    fn close(&self) -> Closing<'_> {
        // A lane that ends by itself has lost its destination, which all of them share.
        self.shared.feeds.iter().for_each(|feed| feed.close());
        if !self.ended.swap(true, Ordering::AcqRel) {
            Shared::lane_ended(&self.shared);
        }
        if self.is_first { Closing::new(self.shared.end()) } else { Closing::done() }
    }
}

impl<E: Event> Shared<E> {
    /// One lane less; the last one begins the close.
    fn lane_ended(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.left -= 1;
        if state.left > 0 {
            return;
        }
        let sink = Arc::clone(&self.sink);
        let name = Arc::as_ptr(self).addr();
        // Caught where it happens, since whoever polls must not lose the close to a panic.
        state.closing = Some(Closing::new(async move { isolate::close(name, &*sink).await }));
        drop(state);
        // The first poll begins it. Those who wait are woken by it as by every other.
        let _begun = self.poll();
    }

    /// The end of the close. Whoever waits polls it on behalf of all.
    async fn end(self: &Arc<Self>) -> Result<(), SinkError> {
        let mut place = Ticket { shared: self, ticket: None };
        poll_fn(|cx| {
            // Before the poll, whose wake-up is for all who are here.
            let waker = cx.waker().clone();
            let replaced = self.state.lock().waiting.register(&mut place.ticket, waker);
            drop(replaced);
            self.poll()
        })
        .await
    }

    fn poll(self: &Arc<Self>) -> Poll<Result<(), SinkError>> {
        let mut state = self.state.lock();
        if let Some(end) = &state.end {
            return Poll::Ready(end.clone());
        }
        let Some(mut closing) = state.closing.take() else { return Poll::Pending };
        state.woken = false;
        drop(state);
        let waker = Waker::from(Arc::clone(self));
        let poll = Pin::new(&mut closing).poll(&mut Context::from_waker(&waker));
        let mut state = self.state.lock();
        let sleepers = if let Poll::Ready(end) = &poll {
            state.end = Some(end.clone());
            state.waiting.take()
        } else {
            state.closing = Some(closing);
            // Some may have come, been woken and found nothing to poll meanwhile.
            if state.woken { state.waiting.take() } else { WakeList::none() }
        };
        drop(state);
        sleepers.wake();
        poll
    }
}

impl<E: Event> Wake for Shared<E> {
    fn wake(self: Arc<Self>) {
        let mut state = self.state.lock();
        state.woken = true;
        let sleepers = state.waiting.take();
        drop(state);
        sleepers.wake();
    }
}

/// A place among those who wait for the end, left when dropped.
struct Ticket<'a, E> {
    shared: &'a Shared<E>,
    ticket: Option<WakerKey>,
}

impl<E> Drop for Ticket<'_, E> {
    fn drop(&mut self) {
        let left = self.shared.state.lock().waiting.cancel(&mut self.ticket);
        drop(left);
    }
}

impl<E> fmt::Debug for LaneEnd<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneEnd").field("is_first", &self.is_first).finish_non_exhaustive()
    }
}
