//! A real registry in front, and its notifications passed on.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use events_core::{Breaker, Close, Sink};
use events_http::{Encoded, Encoder, HttpSink, registry};
use events_queue::Queue;
use events_retry::Retry;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::receiver::{Receiver, answer};

/// A registry that runs until dropped.
struct Registry {
    process: Child,
    address: SocketAddr,
}

impl Registry {
    /// Posts its notifications to `endpoint`.
    fn start(endpoint: &str) -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("registry");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        // Free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "version: 0.1\n\
             log: {{ level: error }}\n\
             storage: {{ filesystem: {{ rootdirectory: '{}' }}, delete: {{ enabled: true }} }}\n\
             http: {{ addr: '{address}' }}\n\
             notifications:\n  endpoints:\n    - {{ name: front, url: '{endpoint}', timeout: 10s, \
             threshold: 3, backoff: 1s }}\n",
            directory.join("data").display(),
        );
        let path = directory.join("config.yml");
        fs::write(&path, config).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .stdout(Stdio::null())
            .arg(&path)
            .spawn()
            .expect("Debian's docker-registry is installed");
        let started = Self { process, address };
        let since = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(since.elapsed() < Duration::from_mins(1), "the registry does not start");
            thread::sleep(Duration::from_millis(20));
        }
        started
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client that pushes, pulls and deletes an image.
struct Image {
    client: Client,
    base: String,
}

impl Image {
    async fn request(
        &self,
        method: Method,
        url: &str,
        media_type: &str,
        body: Vec<u8>,
    ) -> Response {
        let request = self.client.request(method, url).header("content-type", media_type);
        request.body(body).send().await.unwrap().error_for_status().unwrap()
    }

    /// Uploads a blob; its descriptor.
    async fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let uploads = format!("{}/blobs/uploads/", self.base);
        let begun = self.request(Method::POST, &uploads, media_type, Vec::new()).await;
        let location = begun.headers()["location"].to_str().unwrap();
        let digest = digest(bytes);
        let end = format!("{location}&digest={digest}");
        self.request(Method::PUT, &end, "application/octet-stream", bytes.to_vec()).await;
        json!({ "mediaType": media_type, "size": bytes.len(), "digest": digest })
    }

    /// Pushes an image with a layer, pulls it by its tag, and deletes it.
    async fn push_pull_delete(&self) {
        const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
        let config = self
            .blob("application/vnd.docker.container.image.v1+json", b"{\"os\":\"linux\"}")
            .await;
        let layer =
            self.blob("application/vnd.docker.image.rootfs.diff.tar.gzip", b"a layer").await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let url = |reference: &str| format!("{}/manifests/{reference}", self.base);
        self.request(Method::PUT, &url("latest"), MANIFEST, manifest.clone()).await;
        let pull = self.client.get(url("latest")).header("accept", MANIFEST);
        pull.send().await.unwrap().error_for_status().unwrap();
        self.request(Method::DELETE, &url(&digest(&manifest)), MANIFEST, Vec::new()).await;
    }
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write;

    let mut digest = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        write!(digest, "{byte:02x}").unwrap();
    }
    digest
}

fn events(body: &[u8]) -> Vec<Value> {
    let mut envelope: Value = serde_json::from_slice(body).unwrap();
    serde_json::from_value(envelope["events"].take()).unwrap()
}

#[test]
#[ignore = "needs the programs that tests/peers/install installs"]
fn a_registrys_notifications_are_passed_on_as_they_came() {
    const V1: &str = "application/vnd.docker.distribution.events.v1+json";
    // Push config, layer and manifest; pull; delete the manifest, and with it the tag.
    const EXPECTED: usize = 6;

    let second = Receiver::in_turn([answer(503, "", b""), answer(202, "", b"")]);
    let hook = HttpSink::builder(second.url()).format(Encoded).build().unwrap();
    let soon = Breaker::new(1, Duration::from_millis(10)).unwrap();
    let relay = Encoder::new(Retry::new(hook, soon), registry::Envelope::V1);
    let queue = Queue::builder().batch(2, Duration::from_millis(10)).spawn(relay).unwrap();

    let (tell, told) = mpsc::channel();
    let inner = queue.clone();
    let front = Receiver::new(move |stream, request| {
        assert_eq!(request.header("content-type"), [V1]);
        for event in events(&request.body) {
            let typed: registry::Event = serde_json::from_value(event.clone()).unwrap();
            Sink::write(&inner, &typed).unwrap();
            tell.send(event).unwrap();
        }
        stream.write_all(&answer(200, "", b""))
    });

    let registry = Registry::start(&front.url());
    let image = Image {
        client: Client::builder().tls_certs_only([]).build().unwrap(),
        base: format!("http://{}/v2/library/test", registry.address),
    };
    tokio::runtime::Runtime::new().unwrap().block_on(image.push_pull_delete());
    let sent: Vec<Value> = (0..EXPECTED)
        .map(|_| told.recv_timeout(Duration::from_mins(1)).expect("a notification"))
        .collect();
    queue.close().wait().unwrap();

    let actions: Vec<_> = sent.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["push", "push", "push", "pull", "delete", "delete"]);

    let refused = second.next();
    let mut arrived = Vec::new();
    while arrived.len() < EXPECTED {
        let request = second.next();
        assert_eq!(request.header("content-type"), [V1]);
        if arrived.is_empty() {
            assert_eq!(request.body, refused.body);
        }
        arrived.extend(events(&request.body));
    }
    assert_eq!(arrived, sent);
    assert_eq!(queue.stats().delivered, EXPECTED as u64);
    drop(registry);
}
