//! A nats-server with a stream on the disk, by its [protocol](https://docs.nats.io/reference/reference-protocols/nats-protocol)
//! as text: what a client library adds is not measured.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How many messages are not acknowledged, at most.
const WINDOW: usize = 256;

/// A server of its own, in a directory of its own, that syncs each message to the disk.
struct Server {
    child: Child,
    stream: BufReader<TcpStream>,
}

impl Server {
    /// `None` if there is no nats-server: `NATS_SERVER` says where, or it is in the path.
    fn start(dir: &Path) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let config = dir.join("nats.conf");
        let store = dir.display();
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{store}\", sync_interval: always }}"
        );
        fs::write(&config, text).expect("a disk");
        let program = env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".into());
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().ok()?;
        let until = Instant::now() + Duration::from_secs(10);
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < until, "the server does not start: {error}"),
            }
            std::thread::yield_now();
        };
        let mut server = Self { child, stream: BufReader::new(stream) };
        server.send(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB _INBOX.> 1\r\n");
        server.request(
            "$JS.API.STREAM.CREATE.LOG",
            r#"{"name":"LOG","subjects":["log"],"storage":"file","num_replicas":1}"#,
        );
        server.request(
            "$JS.API.CONSUMER.DURABLE.CREATE.LOG.all",
            r#"{"stream_name":"LOG","config":{"durable_name":"all","ack_policy":"explicit"}}"#,
        );
        Some(server)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("a server");
    }

    fn request(&mut self, subject: &str, body: &str) {
        self.send(format!("PUB {subject} _INBOX.r {}\r\n{body}\r\n", body.len()).as_bytes());
        let answer = self.message();
        assert!(!answer.contains("\"error\""), "{subject}: {answer}");
    }

    /// The next message that comes.
    fn message(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).expect("a server") > 0, "the server is gone");
            if line.starts_with("PING") {
                self.send(b"PONG\r\n");
            } else if line.starts_with("MSG") {
                let length =
                    line.split_whitespace().last().and_then(|text| text.parse::<usize>().ok());
                let mut body = vec![0; length.expect("a length") + 2];
                self.stream.read_exact(&mut body).expect("a server");
                return String::from_utf8_lossy(&body).into_owned();
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _it_is_gone_already = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long so many messages take until each is acknowledged; `None` without a server.
pub(crate) fn publish(messages: usize, body: &str) -> Option<Duration> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(dir.path())?;
    let group =
        format!("PUB log _INBOX.a {}\r\n{body}\r\n", body.len()).repeat(WINDOW).into_bytes();
    let start = Instant::now();
    for _ in 0..messages.div_ceil(WINDOW) {
        server.send(&group);
        for _ in 0..WINDOW {
            let answer = server.message();
            assert!(answer.contains("\"seq\""), "{answer}");
        }
    }
    Some(start.elapsed())
}
