//! A receiver that remembers what it was sent, and answers or does not.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use serde_json::Value;

pub struct Server {
    pub url: String,
    requests: Arc<Requests>,
}

#[derive(Default)]
struct Requests {
    list: Mutex<Vec<Request>>,
    arrived: Condvar,
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
        Self::start(Some(status))
    }

    /// Takes every request and answers none.
    pub fn stuck() -> Self {
        Self::start(None)
    }

    fn start(status: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let requests = Arc::new(Requests::default());
        let shared = Arc::clone(&requests);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let requests = Arc::clone(&shared);
                thread::spawn(move || serve(connection, &requests, status));
            }
        });
        Self { url, requests }
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.list.lock().unwrap().clone()
    }

    /// The ids of the events in them, in the order they came.
    pub fn ids(&self) -> Vec<String> {
        self.requests().iter().flat_map(Request::ids).collect()
    }

    /// Waits until `count` requests have come.
    pub fn wait_for(&self, count: usize) {
        let list = self.requests.list.lock().unwrap();
        drop(self.requests.arrived.wait_while(list, |list| list.len() < count).unwrap());
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
fn serve(connection: TcpStream, requests: &Requests, status: Option<&str>) -> Option<()> {
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
        requests.list.lock().unwrap().push(Request { head, body });
        requests.arrived.notify_all();
        if let Some(status) = status {
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes()).ok()?;
        }
    }
}
