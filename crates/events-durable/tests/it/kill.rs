//! A process that writes and delivers is killed at random moments, again and again. What its
//! writers were told is written must reach the receiver, in order, with repeats only where a run
//! was cut off.
//!
//! The victim is this very test program, told by an environment variable to be one. It journals to
//! two kinds of files, which a kill cannot take back: what each writer was told, and what the
//! receiver got.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use events_core::{Breaker, Close, Closing, Sink, SinkError};
use events_durable::{DurableQueue, Stored};
use parking_lot::Mutex;
use tempfile::TempDir;

const WRITERS: u64 = 4;
const DIR: &str = "EVENTS_DURABLE_VICTIM_DIR";
const RECEIVER: &str = "EVENTS_DURABLE_VICTIM_RECEIVER";
const SEED: u64 = 0x5eed;

/// A writer's number, and that of its event.
type Numbered = (u64, u64);

fn rounds() -> u64 {
    env::var("EVENTS_DURABLE_KILLS").map_or(10, |rounds| rounds.parse().unwrap())
}

#[test]
fn killed_at_random_moments_it_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let mut random = fastrand::Rng::with_seed(SEED);
    for _ in 0..rounds() {
        kill_one(dir.path(), None, &mut random);
    }
    let seams = rounds() + 1;
    deliver_the_rest(Journal::open(dir.path()), dir.path());
    check(dir.path(), seams);
}

#[test]
fn killed_while_the_receiver_fails_and_restarts_it_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let mut random = fastrand::Rng::with_seed(SEED + 1);
    let receiver = Receiver::start(dir.path());
    for _ in 0..rounds() {
        kill_one(dir.path(), Some(&receiver.address), &mut random);
    }
    deliver_the_rest(Wire::to(&receiver.address), dir.path());
    let failures = receiver.stop();
    assert!(failures > 0, "the receiver never failed");
    check(dir.path(), rounds() + 1 + failures);
}

/// Not a test of its own: what the tests above start as a process, and kill.
#[test]
fn victim() {
    let Ok(dir) = env::var(DIR) else { return };
    let dir = PathBuf::from(dir);
    let queue = match env::var(RECEIVER) {
        Ok(address) => open(Wire::to(&address), &dir),
        Err(_) => open(Journal::open(&dir), &dir),
    };
    println!("writing");
    for writer in 0..WRITERS {
        let (queue, path) = (queue.clone(), told(&dir, writer));
        // One goes on where the last run got to; a number that it was not told of is used again.
        let first = numbers(&path).last().map_or(0, |last| last + 1);
        let mut journal = append(&path);
        thread::spawn(move || {
            for number in first.. {
                if queue.write(&(writer, number)).is_ok() {
                    journal.write_all(format!("{number}\n").as_bytes()).unwrap();
                }
            }
        });
    }
    loop {
        thread::park();
    }
}

/// Starts a victim, lets it write for a moment, and kills it.
fn kill_one(dir: &Path, receiver: Option<&str>, random: &mut fastrand::Rng) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "kill::victim", "--nocapture"]).env(DIR, dir).stdout(Stdio::piped());
    if let Some(receiver) = receiver {
        command.env(RECEIVER, receiver);
    }
    let mut victim = Killed(command.spawn().unwrap());
    let mut lines = BufReader::new(victim.0.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("writing")), "the victim died by itself");
    thread::sleep(Duration::from_micros(random.u64(0..150_000)));
    assert!(victim.0.try_wait().unwrap().is_none(), "the victim died by itself");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // On Unix this is SIGKILL.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn open(sink: impl Sink<Stored<Numbered>> + 'static, dir: &Path) -> DurableQueue<Numbered> {
    let soon = Breaker::new(1, Duration::from_millis(1)).unwrap();
    DurableQueue::builder(dir.join("events.db")).retry(soon).spawn(sink).unwrap()
}

fn deliver_the_rest(sink: impl Sink<Stored<Numbered>> + 'static, dir: &Path) {
    let queue = open(sink, dir);
    queue.close().wait().unwrap();
    assert_eq!(queue.stats().pending, 0);
}

/// What writer `writer` was told is written.
fn told(dir: &Path, writer: u64) -> PathBuf {
    dir.join(format!("writer-{writer}"))
}

fn received(dir: &Path) -> PathBuf {
    dir.join("received")
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// The numbers in a journal; a last line that was cut off does not count.
fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| line.trim().parse().unwrap()).collect()
}

fn line(event: &Stored<Numbered>) -> String {
    format!("{} {} {}\n", event.id().number(), event.0, event.1)
}

/// A receiver in the same process: a file.
struct Journal(Mutex<File>);

impl Journal {
    fn open(dir: &Path) -> Self {
        Self(Mutex::new(append(&received(dir))))
    }
}

impl Close for Journal {}

impl Sink<Stored<Numbered>> for Journal {
    fn write(&self, event: &Stored<Numbered>) -> Result<(), SinkError> {
        self.0.lock().write_all(line(event).as_bytes()).map_err(SinkError::unavailable)
    }
}

/// A receiver of its own that answers line by line, and now and then hangs up: before it has
/// written the line down, or after, without saying so. A while it is not there at all.
struct Receiver {
    address: String,
    ended: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

impl Receiver {
    fn start(dir: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let ended = Arc::new(AtomicBool::new(false));
        let (mut journal, again, end) =
            (append(&received(dir)), address.clone(), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(SEED);
            let mut failures = 0;
            let mut listener = listener;
            while !end.load(Ordering::Acquire) {
                let Ok((stream, _)) = listener.accept() else { continue };
                if serve(&stream, &mut journal, &mut random).is_err() {
                    failures += 1;
                    if random.u64(0..4) == 0 {
                        drop(listener);
                        thread::sleep(Duration::from_millis(random.u64(0..10)));
                        listener = rebind(&again);
                    }
                }
            }
            failures
        });
        Self { address, ended, thread }
    }

    /// Ends it; how often it failed.
    fn stop(self) -> u64 {
        self.ended.store(true, Ordering::Release);
        drop(TcpStream::connect(&self.address));
        self.thread.join().unwrap()
    }
}

fn rebind(address: &str) -> TcpListener {
    loop {
        // The port may be busy for a moment with what was hung up.
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// `Err` when this receiver hangs up, `Ok` when the other side does.
fn serve(stream: &TcpStream, journal: &mut File, random: &mut fastrand::Rng) -> Result<(), ()> {
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return Ok(()) };
        let fate = random.u64(0..100);
        if fate == 0 {
            return Err(());
        }
        journal.write_all(format!("{line}\n").as_bytes()).unwrap();
        if fate == 1 {
            return Err(());
        }
        let mut stream = stream;
        if stream.write_all(b"ok\n").is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// The way there: one connection, made again after an error.
#[derive(Default)]
struct Wire {
    address: String,
    stream: Mutex<Option<BufReader<TcpStream>>>,
}

impl Wire {
    fn to(address: &str) -> Self {
        Self { address: address.to_owned(), ..Self::default() }
    }

    fn exchange(&self, line: &str) -> std::io::Result<()> {
        let mut open = self.stream.lock();
        let mut stream = match open.take() {
            Some(stream) => stream,
            None => BufReader::new(TcpStream::connect(&self.address)?),
        };
        stream.get_mut().write_all(line.as_bytes())?;
        let mut answer = String::new();
        stream.read_line(&mut answer)?;
        if answer != "ok\n" {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        *open = Some(stream);
        Ok(())
    }
}

impl Close for Wire {
    fn close(&self) -> Closing<'_> {
        drop(self.stream.lock().take());
        Closing::done()
    }
}

impl Sink<Stored<Numbered>> for Wire {
    fn write(&self, event: &Stored<Numbered>) -> Result<(), SinkError> {
        self.exchange(&line(event)).map_err(SinkError::unavailable)
    }
}

/// Whether the receiver has everything that a writer was told is written, in order.
fn check(dir: &Path, seams: u64) {
    let text = fs::read_to_string(received(dir)).unwrap();
    let mut last = 0;
    let mut back = 0;
    let mut firsts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<u64> = line.split(' ').map(|field| field.parse().unwrap()).collect();
        let [id, writer, number] = fields[..] else { panic!("{line}") };
        // A step back is a seam: from there all comes again, up to where it was and on.
        back += u64::from(id <= last && !firsts.is_empty());
        let top = firsts.values().map(Vec::len).sum::<usize>() as u64;
        assert!(id <= top + 1, "the events between {top} and {id} are missing");
        assert!(id <= last + 1, "a gap after {last}: {id}");
        last = id;
        if id == top + 1 {
            firsts.entry(writer).or_default().push(number);
        }
    }
    assert!(back <= seams, "{back} repeats, but only {seams} seams");
    let mut written = 0;
    for writer in 0..WRITERS {
        let told = numbers(&told(dir, writer));
        let mut got = firsts.get(&writer).cloned().unwrap_or_default();
        // A writer that was killed before it heard of its event writes it once more.
        got.dedup();
        assert!(got.is_sorted(), "writer {writer}: out of order");
        // What it was not told of may have arrived all the same.
        let missing = told.iter().filter(|number| got.binary_search(number).is_err()).count();
        assert_eq!(missing, 0, "writer {writer} lost {missing} of {}", told.len());
        written += told.len();
    }
    println!("{} kills, {written} events, {back} seams with repeats, 0 lost", rounds());
    assert!(written > 0);
}
