//! An HTTP server by hand, which may do everything wrong.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Request {
    /// Of the connection that it came on, from 0.
    pub(crate) connection: usize,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The values of a header, in order.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

pub(crate) struct Receiver {
    address: SocketAddr,
    requests: mpsc::Receiver<Request>,
    connections: mpsc::Receiver<()>,
    ended: mpsc::Receiver<io::Result<()>>,
}

impl Receiver {
    /// Answers every request so, as long as the other side keeps the connection.
    pub(crate) fn always(answer: impl Into<Vec<u8>>) -> Self {
        Self::in_turn([answer.into()])
    }

    /// Answers the first request with the first, and so on; the last is for all the others.
    pub(crate) fn in_turn(answers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        let answers = Mutex::new(answers);
        Self::new(move |stream, request| {
            let mut answers = answers.lock().unwrap();
            let last = answers.len() == 1;
            let answer = if last { answers.last().cloned() } else { answers.pop() };
            drop((answers, request));
            stream.write_all(&answer.expect("has an answer"))
        })
    }

    /// Calls `serve` with every request that has arrived; an error ends the connection.
    pub(crate) fn new(
        serve: impl Fn(&mut TcpStream, &Request) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let (tell, requests) = mpsc::channel();
        let mut receiver = Self::raw(move |mut stream, connection| {
            while let Some(request) = read_request(&mut stream, connection)? {
                let served = serve(&mut stream, &request);
                let _ = tell.send(request);
                served?;
            }
            Ok(())
        });
        receiver.requests = requests;
        receiver
    }

    /// Calls `serve` with every connection, on a thread.
    pub(crate) fn raw(
        serve: impl Fn(TcpStream, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, ended) = mpsc::channel();
        let (connect, connections) = mpsc::channel();
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let _ = connect.send(());
                let (serve, tell) = (Arc::clone(&serve), tell.clone());
                thread::spawn(move || tell.send(serve(stream.unwrap(), connection)));
            }
        });
        Self { address, requests: mpsc::channel().1, connections, ended }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// With a path and query that are nobody's business.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/secret?token=secret", self.address)
    }

    /// Waits for the next request.
    pub(crate) fn next(&self) -> Request {
        self.requests.recv_timeout(Duration::from_mins(1)).expect("a request")
    }

    pub(crate) fn has_more(&self) -> bool {
        self.requests.try_recv().is_ok()
    }

    /// Waits for the next connection.
    pub(crate) fn connected(&self) {
        self.connections.recv_timeout(Duration::from_mins(1)).expect("a connection");
    }

    pub(crate) fn has_connections(&self) -> bool {
        self.connections.try_recv().is_ok()
    }

    /// Waits until a connection has ended: how its `serve` did.
    pub(crate) fn ended(&self) -> io::Result<()> {
        self.ended.recv_timeout(Duration::from_mins(1)).expect("an end")
    }
}

/// Reads one request, `None` at the end of the connection.
pub(crate) fn read_request(
    stream: &mut TcpStream,
    connection: usize,
) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte)? {
            0 if head.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => head.push(byte[0]),
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut request = Request { connection, head, body: Vec::new() };
    let length = request.header("content-length").first().map_or(0, |it| it.parse().unwrap());
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// Ends the connection with a reset, not in an orderly way.
pub(crate) fn reset(stream: &TcpStream) -> io::Error {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    io::ErrorKind::ConnectionReset.into()
}

/// An answer with a body.
pub(crate) fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} Any\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
