//! A receiver that remembers what it was sent, and answers or does not.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;

/// A request that has not come by now never will.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Server {
    pub url: String,
    requests: Arc<Requests>,
}

struct Requests {
    log: Mutex<Log>,
    arrived: Condvar,
}

struct Log {
    list: Vec<Request>,
    /// How many of them get an answer, and which.
    answered: usize,
    status: &'static str,
}

#[derive(Clone)]
pub struct Request {
    /// The request line and the headers.
    pub head: String,
    pub body: String,
}

impl Server {
    /// Answers every request with `status`, such as `202 Accepted`.
    pub fn answering(status: &'static str) -> Self {
        Self::start(status, usize::MAX)
    }

    /// Takes every request and answers none.
    pub fn stuck() -> Self {
        Self::stuck_after(0)
    }

    /// Accepts so many requests, and takes those that follow without an answer.
    pub fn stuck_after(count: usize) -> Self {
        Self::start("202 Accepted", count)
    }

    /// Accepts every request that comes from now on. Returns how many came before.
    pub fn recover(&self) -> usize {
        let mut log = self.requests.log.lock().unwrap();
        log.answered = usize::MAX;
        log.status = "202 Accepted";
        log.list.len()
    }

    fn start(status: &'static str, answered: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let log = Mutex::new(Log { list: Vec::new(), answered, status });
        let requests = Arc::new(Requests { log, arrived: Condvar::new() });
        let shared = Arc::clone(&requests);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let requests = Arc::clone(&shared);
                thread::spawn(move || serve(connection, &requests));
            }
        });
        Self { url, requests }
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.log.lock().unwrap().list.clone()
    }

    /// The ids of the events in them, in the order they came.
    pub fn ids(&self) -> Vec<String> {
        self.requests().iter().flat_map(Request::ids).collect()
    }

    /// Waits until `count` requests have come.
    pub fn wait_for(&self, count: usize) {
        let Requests { log, arrived } = &*self.requests;
        let waiting = |log: &mut Log| log.list.len() < count;
        let (log, end) =
            arrived.wait_timeout_while(log.lock().unwrap(), PATIENCE, waiting).unwrap();
        let came = log.list.len();
        drop(log);
        assert!(!end.timed_out(), "waited for {count} requests, and {came} came");
    }
}

impl Request {
    pub fn ids(&self) -> Vec<String> {
        let envelope: Value = serde_json::from_str(&self.body).unwrap();
        let events = envelope["events"].as_array().unwrap().clone();
        events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Serves the requests of one connection, until its other end closes it.
fn serve(connection: TcpStream, requests: &Requests) -> Option<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length?.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).ok()?;
        if let Some(status) = requests.answer(Request { head, body }) {
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes()).ok()?;
        }
    }
}

impl Requests {
    /// Notes it, and says how to answer it, if at all. That is settled before anyone who waited
    /// for it can change the rules.
    fn answer(&self, request: Request) -> Option<&'static str> {
        let mut log = self.log.lock().unwrap();
        log.list.push(request);
        self.arrived.notify_all();
        (log.list.len() <= log.answered).then_some(log.status)
    }
}
