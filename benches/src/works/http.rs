use std::{sync::Arc, time::Duration};

use events_core::{AsyncSink, Close};
use events_http::HttpSink;
use events_queue::Queue;
use serde::Serialize;

use crate::{
    Receiver, Writer,
    contest::{Contest, Job},
    runtime::runtime,
};

/// How many events share a request where they do.
const BATCH: usize = 100;

/// A notification as it goes over the wire.
#[derive(Debug, Clone, Serialize)]
struct Notification {
    id: u64,
    action: &'static str,
    target: &'static str,
}

const SAMPLE: Notification =
    Notification { id: 1, action: "push", target: "library/hello-world:latest" };

/// One endpoint on the loopback: requests one after the other, and batches of 100.
pub fn http(events: usize) -> Vec<Contest> {
    let receiver = Arc::new(Receiver::start());
    let batches = events.div_ceil(BATCH);
    vec![
        one(&receiver, events),
        plain(&receiver, "http/one", "plain reqwest", events, 1, true),
        plain(&receiver, "http/one", "reqwest, a connection each", events, 1, false),
        batch(&receiver, batches * BATCH),
        plain(&receiver, "http/batch", "plain reqwest", batches * BATCH, BATCH, true),
        plain(&receiver, "http/batch", "plain reqwest, one each", events, 1, true),
    ]
}

fn one(receiver: &Arc<Receiver>, events: usize) -> Contest {
    let receiver = Arc::clone(receiver);
    Contest::new("http/one", "events", events, move || -> Job {
        let runtime = runtime();
        let hook = HttpSink::new(receiver.url()).expect("is valid");
        // The connection is part of the set-up.
        runtime.block_on(hook.write(&SAMPLE)).expect("is taken");
        let checked = Checked::new(&receiver, events);
        Box::new(move || {
            Writer::Inside.run(&runtime, async move {
                for _ in 0..events {
                    hook.write(&SAMPLE).await.expect("is taken");
                }
                hook.close().await.expect("closes well");
            });
            Box::new(move || {
                drop(runtime);
                checked.all_arrived();
            })
        })
    })
}

fn batch(receiver: &Arc<Receiver>, events: usize) -> Contest {
    let receiver = Arc::clone(receiver);
    Contest::new("http/batch", "events", events, move || -> Job {
        let runtime = runtime();
        let hook = HttpSink::new(receiver.url()).expect("is valid");
        runtime.block_on(hook.write(&SAMPLE)).expect("is taken");
        let queue = {
            let _inside = runtime.enter();
            let builder = Queue::builder().batch(BATCH, Duration::from_millis(10));
            builder.spawn_tokio(hook).expect("is valid")
        };
        Box::new(move || {
            let queue = Writer::Inside.run(&runtime, async move {
                for _ in 0..events {
                    queue.write(&SAMPLE).await.expect("is open");
                }
                queue.close().await.expect("closes well");
                queue
            });
            Box::new(move || {
                drop(runtime);
                assert_eq!(queue.stats().delivered, events as u64);
            })
        })
    })
}

/// A loop by hand. `keep` is whether it keeps its connection.
fn plain(
    receiver: &Arc<Receiver>,
    work: &str,
    peer: &'static str,
    events: usize,
    batch: usize,
    keep: bool,
) -> Contest {
    let receiver = Arc::clone(receiver);
    Contest::new(work, peer, events, move || -> Job {
        let runtime = runtime();
        let url = receiver.url();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .pool_max_idle_per_host(usize::from(keep))
            .build()
            .expect("is valid");
        let requests = events / batch;
        let body = vec![SAMPLE; batch];
        runtime.block_on(post(&client, &url, &body)).expect("is taken");
        let checked = Checked::new(&receiver, requests);
        Box::new(move || {
            Writer::Inside.run(&runtime, async move {
                for _ in 0..requests {
                    post(&client, &url, &body).await.expect("is taken");
                }
            });
            Box::new(move || {
                drop(runtime);
                checked.all_arrived();
            })
        })
    })
}

async fn post(
    client: &reqwest::Client,
    url: &str,
    events: &[Notification],
) -> Result<(), reqwest::Error> {
    let post = client.post(url);
    let post = if let [event] = events { post.json(event) } else { post.json(events) };
    post.send().await?.error_for_status().map(drop)
}

/// Sees that the receiver got what was sent.
struct Checked {
    receiver: Arc<Receiver>,
    expected: u64,
}

impl Checked {
    fn new(receiver: &Arc<Receiver>, requests: usize) -> Self {
        let expected = receiver.requests() + requests as u64;
        Self { receiver: Arc::clone(receiver), expected }
    }

    fn all_arrived(&self) {
        assert_eq!(self.receiver.requests(), self.expected, "a request is missing");
    }
}
