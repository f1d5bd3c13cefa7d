//! Runs plan after plan until the time is up or one does not hold.

use std::{
    env, fmt, panic,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::{fault, plan::Plan};

/// Seeds whose plans did not hold once: they run first. A seed is worth something only as long as
/// plans are made from it in the same way, so what it found has a small test of its own as well.
const KNOWN: &[u64] = &[];
/// How often each of them runs.
const REPEATS: usize = 10;
/// How long it runs unless told otherwise.
const DEFAULT: Duration = Duration::from_secs(2);
/// A run takes milliseconds, or a second where a sink is stuck. One that takes this long hangs.
const HANGS: Duration = Duration::from_mins(1);
/// So many runs at a time: some of them only wait.
const RUNNERS: usize = 6;

/// What a runner has to say.
enum News {
    Holds,
    Fails(u64, Vec<String>),
}

/// # Panics
/// If a plan does not hold, with its seed and what it says.
pub(crate) fn search() {
    fault::hush_planned_panics();
    let limit: Option<f64> = setting("EVENTS_MODEL_SECONDS");
    let limit = limit.map_or(DEFAULT, Duration::from_secs_f64);
    let seed = setting("EVENTS_MODEL_SEED");
    let start = Instant::now();
    let base: u64 = fastrand::u64(..);
    let next = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let busy: Arc<[Busy; RUNNERS]> = Arc::default();
    let (tell, news) = mpsc::channel();
    for runner in 0..RUNNERS {
        let (next, is_over) = (Arc::clone(&next), Arc::clone(&is_over));
        let (busy, tell) = (Arc::clone(&busy), tell.clone());
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let known = KNOWN.get(number as usize / REPEATS).copied();
                let seed = seed.or(known).unwrap_or_else(|| base.wrapping_add(number));
                busy[runner].begin(seed, start);
                let problems = run(seed);
                busy[runner].end();
                let holds = problems.is_empty();
                let _told =
                    tell.send(if holds { News::Holds } else { News::Fails(seed, problems) });
            }
        });
    }
    drop(tell);
    let mut runs = 0_u64;
    // Those that are under way at the end are waited for as well.
    loop {
        if start.elapsed() >= limit {
            is_over.store(true, Ordering::Relaxed);
        }
        match news.recv_timeout(Duration::from_millis(100)) {
            Ok(News::Holds) => runs += 1,
            Ok(News::Fails(seed, problems)) => {
                is_over.store(true, Ordering::Relaxed);
                panic!("{}", Failure { seed, runs, problems, after: start.elapsed() });
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        let hanging = busy.iter().find_map(|busy| busy.hangs(start));
        if let Some(seed) = hanging {
            is_over.store(true, Ordering::Relaxed);
            let problems = vec!["it hangs".to_owned()];
            panic!("{}", Failure { seed, runs, problems, after: start.elapsed() });
        }
    }
    assert!(runs > 0, "no plan was run");
    println!("{runs} runs hold");
}

fn run(seed: u64) -> Vec<String> {
    panic::catch_unwind(|| Plan::from_seed(seed).run())
        .unwrap_or_else(|_| vec!["it panicked, as told above".to_owned()])
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T>
where
    T::Err: fmt::Debug,
{
    env::var(name).ok().map(|value| value.parse().expect(name))
}

/// What one runner is busy with, and since when.
#[derive(Debug, Default)]
struct Busy {
    seed: AtomicU64,
    /// Milliseconds after the start, and one more; 0 while it is not.
    since: AtomicU64,
}

impl Busy {
    fn begin(&self, seed: u64, start: Instant) {
        self.seed.store(seed, Ordering::Relaxed);
        self.since.store(start.elapsed().as_millis() as u64 + 1, Ordering::Release);
    }

    fn end(&self) {
        self.since.store(0, Ordering::Release);
    }

    fn hangs(&self, start: Instant) -> Option<u64> {
        let since = self.since.load(Ordering::Acquire);
        let hangs = since > 0 && start.elapsed() > Duration::from_millis(since) + HANGS;
        hangs.then(|| self.seed.load(Ordering::Relaxed))
    }
}

struct Failure {
    seed: u64,
    runs: u64,
    problems: Vec<String>,
    after: Duration,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, runs, problems, after } = self;
        writeln!(f, "a plan does not hold, after {runs} that did and {after:?}")?;
        for problem in problems.iter().take(20) {
            writeln!(f, "- {problem}")?;
        }
        writeln!(f, "again with EVENTS_MODEL_SEED={seed}:\n{:?}", Plan::from_seed(*seed))
    }
}
