//! What becomes of events that cannot be delivered: each ends up, with its error, in one place.

use std::{error::Error, sync::Arc, time::Duration};

use events_core::{
    Breaker, Close, DeadLetter, ErrorKind, MaxAttempts, Memory, Sink, SinkError, sink_fn,
};
use events_queue::Queue;
use events_retry::Retry;

fn main() -> Result<(), Box<dyn Error>> {
    // Odd numbers are refused for good, multiples of ten can never be reached, the rest pass.
    let delivered = Arc::new(Memory::new());
    let kept = Arc::clone(&delivered);
    let picky = sink_fn(move |number: &u32| match number {
        odd if odd % 2 == 1 => Err(SinkError::rejected("odd")),
        ten if ten % 10 == 0 => Err(SinkError::unavailable("out of reach")),
        _ => kept.write(number),
    });

    // Three attempts, then the next event: one that is poison does not hold up those behind it.
    let strategy = MaxAttempts::new(Breaker::new(1, Duration::from_millis(1))?, 3)?;
    let letters = Arc::new(Memory::new());
    let queue =
        Queue::builder().dead_letter(Arc::clone(&letters)).spawn(Retry::new(picky, strategy))?;

    for number in 1..=10 {
        queue.write(&number)?;
    }
    queue.close().wait()?;

    assert_eq!(delivered.events(), [2, 4, 6, 8]);
    let letters: Vec<DeadLetter<u32>> = letters.take();
    let refused: Vec<_> =
        letters.iter().map(|letter| (letter.event, letter.error.kind())).collect();
    assert_eq!(
        refused,
        [
            (1, ErrorKind::Rejected),
            (3, ErrorKind::Rejected),
            (5, ErrorKind::Rejected),
            (7, ErrorKind::Rejected),
            (9, ErrorKind::Rejected),
            (10, ErrorKind::Unavailable),
        ]
    );
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.failed), (10, 4, 6));
    for letter in letters {
        println!("{}: {}", letter.event, letter.error);
    }
    Ok(())
}
