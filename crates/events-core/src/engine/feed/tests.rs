use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::*;

/// Drops count how many events are still held.
fn counted(feed: &Feed<Arc<()>>, token: &Arc<()>, count: usize) {
    for _ in 0..count {
        feed.push(Arc::clone(token)).unwrap();
    }
}

fn held(token: &Arc<()>) -> usize {
    Arc::strong_count(token) - 1
}

fn next<E>(reader: &mut Reader<E>) -> Poll<Option<Arc<Chunk<E>>>> {
    reader.poll_chunk(&mut Context::from_waker(Waker::noop()), 1)
}

/// Reads whole chunks until there is none.
fn drain<E: Clone>(reader: &mut Reader<E>) -> Vec<E> {
    let mut events = Vec::new();
    while let Poll::Ready(Some(chunk)) = next(reader) {
        events.extend_from_slice(chunk.from(reader.at()));
        reader.advance_to(chunk.end());
    }
    events
}

#[test]
fn every_reader_sees_all_from_where_it_started() {
    let feed = Arc::new(Feed::with_chunks(4));
    let mut early = feed.reader(None);
    for event in 0..6 {
        feed.push(event).unwrap();
    }
    let mut late = feed.reader(None);
    for event in 6..11 {
        feed.push(event).unwrap();
    }
    feed.close();
    assert_eq!(drain(&mut early), (0..11).collect::<Vec<_>>());
    assert_eq!(drain(&mut late), (6..11).collect::<Vec<_>>());
    assert!(matches!(next(&mut early), Poll::Ready(None)));
    assert_eq!(feed.push(11), Err(Refused::Closed(11)));
}

#[test]
fn what_all_have_read_is_let_go() {
    let (token, feed) = (Arc::new(()), Arc::new(Feed::with_chunks(4)));
    let (mut a, mut b) = (feed.reader(None), feed.reader(None));
    counted(&feed, &token, 10);
    assert_eq!(drain(&mut a).len(), 10);
    assert_eq!(held(&token), 10);
    assert_eq!(drain(&mut b).len(), 10);
    assert_eq!(held(&token), 0);
}

#[test]
fn without_readers_nothing_is_kept() {
    let (token, feed) = (Arc::new(()), Arc::new(Feed::with_chunks(4)));
    counted(&feed, &token, 3);
    assert_eq!(held(&token), 0);
    let reader = feed.reader(None);
    counted(&feed, &token, 6);
    assert_eq!(held(&token), 6);
    drop(reader);
    assert_eq!(held(&token), 0);
    assert_eq!(feed.head(), 9);
}

#[test]
fn a_stuck_bounded_reader_keeps_its_bound_and_no_more() {
    let (token, feed) = (Arc::new(()), Arc::new(Feed::with_chunks(4)));
    let mut stuck = feed.reader(Some(5));
    counted(&feed, &token, 4);
    let Poll::Ready(Some(chunk)) = next(&mut stuck) else { panic!("four events are there") };
    counted(&feed, &token, 1000);
    // Its own chunk, the bound rounded up to whole chunks, and the open one.
    assert!(held(&token) <= 4 + 8 + 4, "{}", held(&token));
    stuck.advance_to(chunk.end());
    drop(chunk);
    assert_eq!(stuck.lag(), 1000 - 5);
    stuck.advance_to(stuck.at() + stuck.lag());
    assert_eq!(drain(&mut stuck).len(), 5);
}

#[test]
fn a_stuck_bounded_reader_skips_though_an_unbounded_one_follows() {
    let (token, feed) = (Arc::new(()), Arc::new(Feed::with_chunks(4)));
    let stuck = feed.reader(Some(5));
    let mut follows = feed.reader(None);
    for _ in 0..100 {
        counted(&feed, &token, 10);
        assert_eq!(drain(&mut follows).len(), 10);
    }
    assert!(held(&token) <= 8 + 4, "{}", held(&token));
    drop(stuck);
    assert_eq!(held(&token), 0);
}

#[test]
fn a_clone_reads_on_from_the_same_place() {
    let feed = Arc::new(Feed::with_chunks(2));
    let mut one = feed.reader(None);
    for event in 0..6 {
        feed.push(event).unwrap();
    }
    let Poll::Ready(Some(chunk)) = next(&mut one) else { panic!("events are there") };
    one.advance_to(chunk.end());
    let mut two = one.clone();
    assert_eq!(drain(&mut one), [2, 3, 4, 5]);
    assert_eq!(drain(&mut two), [2, 3, 4, 5]);
    assert!(feed.from(0).is_empty());
}

#[test]
fn a_reader_that_lingers_gets_whole_chunks_until_it_is_hurried() {
    let feed = Arc::new(Feed::with_chunks(3));
    let mut reader = feed.reader(None);
    let mut cx = Context::from_waker(Waker::noop());
    feed.push(0).unwrap();
    assert!(reader.poll_chunk(&mut cx, 3).is_pending());
    feed.push(1).unwrap();
    feed.push(2).unwrap();
    feed.push(3).unwrap();
    let Poll::Ready(Some(chunk)) = reader.poll_chunk(&mut cx, 3) else { panic!("three are there") };
    assert_eq!(**chunk, [0, 1, 2]);
    assert!(reader.poll_chunk(&mut cx, 3).is_pending());
    feed.hurry();
    let Poll::Ready(Some(chunk)) = reader.poll_chunk(&mut cx, 3) else { panic!("hurried") };
    assert_eq!(**chunk, [3]);
}

#[test]
fn the_line_is_first_come_first_served_and_a_leaver_frees_nothing() {
    let cursor = Arc::new(Cursor::new(0, None));
    let feed = Arc::new(Feed::new().bounded(1, Arc::clone(&cursor)));
    let mut reader = feed.reader(None);
    feed.push(0).unwrap();
    assert_eq!(feed.push(9), Err(Refused::Full(9)));
    let mut first = feed.wait_for_room(1).unwrap();
    let second = feed.wait_for_room(2).unwrap();
    let mut third = feed.wait_for_room(3).unwrap();
    assert_eq!(second.cancel(), Err(ErrorKind::Full));
    assert!(
        {
            cursor.settle(1);
            cursor.publish()
        },
        "the line wants attention"
    );
    assert_eq!(feed.push(9), Err(Refused::Full(9)), "the line comes first");
    assert!(feed.admit());
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(first.poll_admitted(&mut cx), Poll::Ready(Ok(())));
    assert_eq!(third.poll_admitted(&mut cx), Poll::Pending);
    {
        cursor.settle(1);
        cursor.publish()
    };
    assert!(!feed.admit());
    assert_eq!(third.poll_admitted(&mut cx), Poll::Ready(Ok(())));
    assert_eq!(drain(&mut reader), [0, 1, 3]);
}

#[test]
fn a_close_sends_the_line_away() {
    let cursor = Arc::new(Cursor::new(0, None));
    let feed = Arc::new(Feed::new().bounded(1, cursor));
    let _reader = feed.reader(None);
    feed.push(0).unwrap();
    let mut place = feed.wait_for_room(1).unwrap();
    feed.close();
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(place.poll_admitted(&mut cx), Poll::Ready(Err(ErrorKind::Closed)));
    assert_eq!(feed.head(), 1);
}

#[test]
fn a_reader_that_lingers_for_more_than_a_chunk_is_woken_by_a_full_one() {
    struct Flag(std::sync::atomic::AtomicBool);
    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let feed = Arc::new(Feed::with_chunks(4));
    let mut reader = feed.reader(None);
    feed.push(0).unwrap();
    let flag = Arc::new(Flag(std::sync::atomic::AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    assert!(reader.poll_chunk(&mut Context::from_waker(&waker), 100).is_pending());
    for event in 1..4 {
        assert!(!flag.0.load(std::sync::atomic::Ordering::SeqCst));
        feed.push(event).unwrap();
    }
    assert!(flag.0.load(std::sync::atomic::Ordering::SeqCst));
    assert_eq!(drain(&mut reader), [0, 1, 2, 3]);
}

/// Between two locks, a writer that gives up its place could be let in all the same.
#[test]
fn who_leaves_the_line_and_who_is_let_in_are_never_the_same() {
    const WRITES: u64 = 200_000;
    let cursor = Arc::new(Cursor::new(0, None));
    let feed = Arc::new(Feed::new().bounded(1, Arc::clone(&cursor)));
    let mut reader = feed.reader(None);
    let mut accepted = Vec::new();
    let delivered = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let mut delivered = Vec::new();
            loop {
                let last = feed.is_closed();
                for event in drain(&mut reader) {
                    delivered.push(event);
                    cursor.settle(1);
                    cursor.publish();
                    feed.admit();
                }
                if last {
                    return delivered;
                }
            }
        });
        for event in 0..WRITES {
            let taken = match feed.push(event) {
                Ok(()) => true,
                Err(Refused::Full(event)) => feed.wait_for_room(event).unwrap().cancel().is_ok(),
                Err(Refused::Closed(_)) => unreachable!("nobody closes it yet"),
            };
            if taken {
                accepted.push(event);
            }
        }
        feed.close();
        worker.join().unwrap()
    });
    assert_eq!(delivered, accepted);
}
