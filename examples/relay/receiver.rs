//! Two real HTTP servers on this machine to relay to: one steady, one hostile.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::RETRY_AFTER,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

const LARGEST_BODY: usize = 64 << 20;

/// A running server that remembers the ids of the events it took.
pub struct Receiver {
    pub url: String,
    state: Arc<State>,
}

struct State {
    /// Draws the mischief of a hostile one.
    mischief: Option<Mutex<Rng>>,
    taken: Mutex<BTreeSet<String>>,
}

/// What becomes of one request.
enum Fate {
    Accept,
    AcceptAfter(Duration),
    Unavailable {
        retry_after: Option<u64>,
    },
    Reset,
    /// The events were taken, but the sender cannot know: it will send them again.
    AcceptAndReset,
}

impl Receiver {
    /// One that accepts everything at once.
    pub async fn steady() -> io::Result<Self> {
        Self::start(None).await
    }

    /// One that makes trouble half of the time: 30 % are 503, some of them with a Retry-After,
    /// 10 % end in a reset connection, 10 % are slow, a few of them too slow.
    pub async fn hostile(seed: u64) -> io::Result<Self> {
        Self::start(Some(Mutex::new(Rng::with_seed(seed)))).await
    }

    async fn start(mischief: Option<Mutex<Rng>>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/events", listener.local_addr()?);
        let state = Arc::new(State { mischief, taken: Mutex::default() });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, Arc::clone(&shared)));
            }
        });
        Ok(Self { url, state })
    }

    /// The ids of the events it took.
    pub fn taken(&self) -> BTreeSet<String> {
        self.state.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers the requests of one connection until it ends or a request is to be met by a reset.
async fn serve(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(|request| answer(request, &state));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    if (&mut connection).await.is_err() {
        // Without this, closing would say goodbye in good order.
        let stream = connection.into_parts().io.into_inner();
        drop(stream.set_zero_linger());
    }
}

#[derive(Debug, thiserror::Error)]
#[error("reset")]
struct Reset;

async fn answer(
    request: Request<Incoming>,
    state: &State,
) -> Result<Response<Empty<Bytes>>, Reset> {
    let answer = |status| {
        let mut response = Response::new(Empty::new());
        *response.status_mut() = status;
        Ok(response)
    };
    // Drawn before the body arrives: the order of the requests alone decides.
    let fate = state.fate();
    let Some(ids) = ids(request).await else { return answer(StatusCode::BAD_REQUEST) };
    match fate {
        Fate::Accept => state.take(ids),
        Fate::AcceptAfter(wait) => {
            tokio::time::sleep(wait).await;
            state.take(ids);
        }
        Fate::Unavailable { retry_after } => {
            let mut response = answer(StatusCode::SERVICE_UNAVAILABLE)?;
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            return Ok(response);
        }
        Fate::Reset => return Err(Reset),
        Fate::AcceptAndReset => {
            state.take(ids);
            return Err(Reset);
        }
    }
    answer(StatusCode::ACCEPTED)
}

/// The ids of the events in the body; `None` if it is no envelope.
async fn ids(request: Request<Incoming>) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Envelope {
        events: Vec<Identified>,
    }
    #[derive(Deserialize)]
    struct Identified {
        id: Option<Value>,
    }
    let body = Limited::new(request.into_body(), LARGEST_BODY).collect().await.ok()?.to_bytes();
    let envelope: Envelope = serde_json::from_slice(&body).ok()?;
    Some(
        envelope
            .events
            .into_iter()
            .filter_map(|event| Some(event.id?.as_str()?.to_owned()))
            .collect(),
    )
}

impl State {
    fn fate(&self) -> Fate {
        let Some(mischief) = &self.mischief else { return Fate::Accept };
        let mut random = mischief.lock().unwrap_or_else(PoisonError::into_inner);
        match random.u32(..100) {
            0..20 => Fate::Unavailable { retry_after: None },
            20..25 => Fate::Unavailable { retry_after: Some(0) },
            25..30 => Fate::Unavailable { retry_after: Some(1) },
            30..36 => Fate::Reset,
            36..40 => Fate::AcceptAndReset,
            40..48 => Fate::AcceptAfter(Duration::from_millis(random.u64(20..300))),
            // Longer than a sender waits.
            48..50 => Fate::AcceptAfter(Duration::from_secs(5)),
            _ => Fate::Accept,
        }
    }

    fn take(&self, ids: Vec<String>) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }
}
