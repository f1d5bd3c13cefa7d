use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// An HTTP endpoint on the loopback that takes every request, with a thread a connection.
///
/// It does as little as it can: what it costs is paid by all who post to it.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Receiver {
    /// Listens on a free port. Its threads end with the process.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("is bound");
        let requests = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                thread::spawn(move || serve(&stream, &count));
            }
        });
        Self { address, requests }
    }

    /// Where to post to.
    pub fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// How many requests it has answered.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Answers until the other side has had enough.
fn serve(stream: &TcpStream, count: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut body = Vec::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        count.fetch_add(1, Ordering::SeqCst);
        reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}
