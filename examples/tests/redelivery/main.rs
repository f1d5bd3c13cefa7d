//! Redelivery to a real HTTP server: what fails follows its schedule, and holds up nobody.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use events_core::{Close, Map, Memory};
use events_http::HttpSink;
use events_queue::{DeadLetter, Queue, Schedule};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::RETRY_AFTER,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

const EVENTS: u64 = 600;
const DELAYS: [Duration; 3] =
    [Duration::from_secs(3), Duration::from_millis(400), Duration::from_millis(800)];

/// When each event came.
type Arrivals = Arc<Mutex<HashMap<u64, Vec<Instant>>>>;

/// What the server does with an event: by its number, so that each kind is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Accepted,
    Unavailable,
    /// Asks to be left alone for a second.
    Busy,
    Reset,
    Slow,
}

fn kind(event: u64) -> Kind {
    match event % 100 {
        1 => Kind::Unavailable,
        2 => Kind::Busy,
        3 => Kind::Reset,
        4 => Kind::Slow,
        _ => Kind::Accepted,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("reset")]
struct Reset;

async fn answer(
    request: Request<Incoming>,
    arrivals: Arrivals,
) -> Result<Response<Empty<Bytes>>, Reset> {
    let body = request.into_body().collect().await.map_err(|_| Reset)?.to_bytes();
    let event: u64 = serde_json::from_slice(&body).map_err(|_| Reset)?;
    arrivals.lock().unwrap().entry(event).or_default().push(Instant::now());
    let mut response = Response::new(Empty::new());
    match kind(event) {
        Kind::Accepted => {}
        Kind::Unavailable => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
        Kind::Busy => {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response.headers_mut().insert(RETRY_AFTER, 1.into());
        }
        Kind::Reset => return Err(Reset),
        Kind::Slow => std::future::pending::<()>().await,
    }
    Ok(response)
}

async fn serve(stream: TcpStream, arrivals: Arrivals) -> Result<(), Infallible> {
    let service = service_fn(|request| answer(request, Arc::clone(&arrivals)));
    let _reset = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_failure_follows_its_schedule_and_delays_nobody_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let arrivals = Arrivals::default();
    let served = Arc::clone(&arrivals);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&served)));
        }
    });
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let hook = HttpSink::builder(&url).timeout(Duration::from_millis(150)).build().unwrap();
    let queue = Queue::builder()
        .concurrency(32)
        .redeliver(Schedule::delays(DELAYS))
        .dead_letter(Arc::clone(&dead))
        .spawn_tokio(Map::new(hook, |event: &u64| *event))
        .unwrap();
    for event in 0..EVENTS {
        events_core::AsyncSink::write(&queue, &event).await.unwrap();
    }
    queue.close().await.unwrap_or_else(|error| assert_eq!(error.undelivered(), None));

    let arrivals = arrivals.lock().unwrap();
    let failing: Vec<_> = (0..EVENTS).filter(|event| kind(*event) != Kind::Accepted).collect();
    let mut letters: Vec<_> =
        dead.take().iter().map(|letter| (letter.event, letter.attempts)).collect();
    letters.sort_unstable();
    assert_eq!(letters, failing.iter().map(|event| (*event, 4)).collect::<Vec<_>>());
    let mut latest = Duration::ZERO;
    for event in &failing {
        let times = &arrivals[event];
        assert_eq!(times.len(), 4, "{event}: {:?}", kind(*event));
        for (pair, delay) in times.windows(2).zip(DELAYS) {
            let asked = if kind(*event) == Kind::Busy { Duration::from_secs(1) } else { delay };
            let waited = pair[1] - pair[0];
            assert!(waited >= asked.max(delay), "{event} came again after {waited:?}");
            latest = latest.max(waited.saturating_sub(asked.max(delay)));
        }
    }
    // Nobody else waited: all had arrived before the first of those that failed came again.
    let accepted = (0..EVENTS).filter(|event| kind(*event) == Kind::Accepted);
    let last = accepted.map(|event| arrivals[&event][0]).max().unwrap();
    let first_again = failing.iter().map(|event| arrivals[event][1]).min().unwrap();
    println!("{latest:?} at most later than its schedule said");
    assert!(last < first_again, "{:?} late", last - first_again);
}
