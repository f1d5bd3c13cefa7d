use std::{
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use events_core::{
    ConfigError,
    engine::{TraceLimit, clock},
};
use parking_lot::Mutex;
use tokio::runtime::{Handle, Id};

/// How often to look whether files have changed.
const LOOK: Duration = Duration::from_secs(1);
/// For how many runtimes connections are kept.
const RUNTIMES: usize = 8;

/// The connections of a client, made anew when they are too old, when certificates have changed on
/// the disk, and for each runtime: a connection ends with the runtime that opened it.
///
/// What is under way on old ones goes on there.
pub(crate) struct Connections {
    recipe: Recipe,
    pools: Mutex<Vec<Pool>>,
    failures: TraceLimit,
}

/// How connections are made.
pub(crate) struct Recipe {
    pub(crate) connect: Box<Connect>,
    /// What is read for it.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) max_age: Duration,
}

type Connect = dyn Fn() -> Result<reqwest::Client, ConfigError> + Send + Sync;

/// Connections that belong together.
struct Pool {
    runtime: Option<Id>,
    http: reqwest::Client,
    since: Instant,
    looked: Instant,
    /// The files it was made with, and when these were changed last.
    files: Vec<(PathBuf, Option<SystemTime>)>,
}

impl Connections {
    /// What `recipe` says; it is followed once, to see that it can be.
    pub(crate) fn new(recipe: Recipe) -> Result<Self, ConfigError> {
        let runtime = Handle::try_current().ok().map(|runtime| runtime.id());
        let pool = Pool::new(&recipe, runtime, clock::now())?;
        Ok(Self { recipe, pools: Mutex::new(vec![pool]), failures: TraceLimit::new() })
    }

    /// The client to use here and now.
    pub(crate) fn current(&self) -> reqwest::Client {
        let runtime = Handle::try_current().ok().map(|runtime| runtime.id());
        let now = clock::now();
        let mut pools = self.pools.lock();
        let at = pools.iter().position(|pool| pool.runtime == runtime);
        if let Some(at) = at
            && !pools[at].is_outdated(self.recipe.max_age, now)
        {
            return pools[at].http.clone();
        }
        let made = Pool::new(&self.recipe, runtime, now);
        let (http, problem) = match (made, at) {
            (Ok(pool), Some(at)) => {
                let http = pool.http.clone();
                pools[at] = pool;
                (http, None)
            }
            (Ok(pool), None) => {
                let http = pool.http.clone();
                if pools.len() == RUNTIMES {
                    pools.remove(0);
                }
                pools.push(pool);
                (http, None)
            }
            // With what there was, and again when it is time.
            (Err(problem), at) => {
                let pool = &mut pools[at.unwrap_or(0)];
                pool.since = now;
                (pool.http.clone(), Some(problem))
            }
        };
        drop(pools);
        if let Some(problem) = problem {
            self.failures.tell(1, |count| {
                let what = "the old connections and certificates stay in use";
                tracing::error!(%problem, count, "{what}");
            });
        }
        http
    }
}

impl Pool {
    fn new(recipe: &Recipe, runtime: Option<Id>, now: Instant) -> Result<Self, ConfigError> {
        // Before they are read: what changes meanwhile is read again.
        let files = recipe.files.iter().map(|path| (path.clone(), changed(path))).collect();
        Ok(Self { runtime, http: (recipe.connect)()?, since: now, looked: now, files })
    }

    fn is_outdated(&mut self, max_age: Duration, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= max_age {
            return true;
        }
        if self.files.is_empty() || now.saturating_duration_since(self.looked) < LOOK {
            return false;
        }
        self.looked = now;
        self.files.iter().any(|(path, before)| changed(path) != *before)
    }
}

fn changed(path: &PathBuf) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}
