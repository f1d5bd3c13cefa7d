//! Live progress on standard error: a line an endpoint, if somebody is looking.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{task::JoinHandle, time};

use crate::endpoint::Endpoint;

/// Shows how far each endpoint is.
pub struct Progress {
    lines: MultiProgress,
    refresh: JoinHandle<()>,
}

impl Progress {
    /// Standard error that is no terminal shows nothing either.
    pub fn start(endpoints: Arc<[Endpoint]>, hidden: bool) -> Self {
        let target =
            if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let lines = MultiProgress::with_draw_target(target);
        let style = ProgressStyle::with_template("{spinner} {prefix} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let width = endpoints.iter().map(|endpoint| endpoint.name.chars().count()).max();
        let bars: Vec<_> = endpoints
            .iter()
            .map(|endpoint| {
                let prefix = format!("{:<width$}", endpoint.name, width = width.unwrap_or(0));
                lines.add(ProgressBar::new_spinner().with_style(style.clone()).with_prefix(prefix))
            })
            .collect();
        let refresh = tokio::spawn(async move {
            let mut ticks = time::interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                for (bar, endpoint) in bars.iter().zip(&*endpoints) {
                    let entry = endpoint.entry();
                    bar.set_message(format!(
                        "{} delivered, {} pending, {} failed, {} attempts",
                        entry.delivered, entry.pending, entry.failed, entry.attempts
                    ));
                    bar.tick();
                }
            }
        });
        Self { lines, refresh }
    }

    /// Prints a line on standard error without tearing the progress.
    pub fn note(&self, line: &str) {
        // Whoever closed standard error does not want to know.
        self.lines.suspend(|| drop(writeln!(io::stderr(), "{line}")));
    }

    /// Shows nothing any more.
    pub fn finish(&self) {
        self.refresh.abort();
        // Nothing is lost if a terminal that went away cannot be cleared.
        drop(self.lines.clear());
    }
}
