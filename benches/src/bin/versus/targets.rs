//! How fast the family means to be, as ratios: figures of one sitting on one machine.

use crate::rows::{Figure, OURS, Row, SEED, find};

/// What is aimed at in one work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// The work.
    pub(crate) work: &'static str,
    /// So many times as fast as the seed.
    pub(crate) seed: Option<f64>,
    /// So many times as fast as a rival.
    pub(crate) rival: Option<(f64, Rival)>,
    /// At most so many bytes.
    pub(crate) bytes: Option<u64>,
}

/// Who is to be beaten.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rival {
    /// Whoever does the work best, in Rust.
    Best,
    /// This one.
    Named(&'static str),
}

/// How one goal was met.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// Against whom, with what.
    pub(crate) goal: String,
    /// What was reached.
    pub(crate) reached: String,
    /// Whether that is enough.
    pub(crate) met: bool,
}

const fn time(work: &'static str, seed: f64, rival: Option<(f64, Rival)>) -> Target {
    Target { work, seed: Some(seed), rival, bytes: None }
}

const fn size(work: &'static str, bytes: u64) -> Target {
    Target { work, seed: None, rival: None, bytes: Some(bytes) }
}

const fn beside(work: &'static str, ratio: f64, rival: &'static str) -> Target {
    Target { work, seed: None, rival: Some((ratio, Rival::Named(rival))), bytes: None }
}

const TOKIO: Rival = Rival::Named("tokio broadcast");

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    time("retry/success", 20.0, None),
    time("queue/1p", 2.5, Some((1.1, Rival::Named("crossbeam")))),
    time("queue/4p", 2.5, Some((1.0, Rival::Best))),
    time("broadcast/1/direct", 20.0, None),
    time("broadcast/10/direct", 6.0, None),
    time("broadcast/100/direct", 2.0, None),
    time("broadcast/1000/direct", 1.3, None),
    time("broadcast/10000/direct", 1.2, None),
    time("broadcast/1/queued", 14.0, Some((2.5, TOKIO))),
    time("broadcast/10/queued", 20.0, Some((6.0, TOKIO))),
    time("broadcast/100/queued", 22.0, Some((8.0, TOKIO))),
    time("broadcast/1000/queued", 25.0, Some((8.0, TOKIO))),
    time("broadcast/10000/queued", 35.0, Some((7.0, TOKIO))),
    time("broadcast/1/sparse", 1.5, Some((1.0, Rival::Best))),
    time("broadcast/100/sparse", 6.0, Some((4.0, Rival::Best))),
    time("broadcast/10000/sparse", 30.0, Some((10.0, Rival::Best))),
    size("memory/idle-queue", 1024),
    size("memory/subscription", 320),
    size("memory/backlog", 10),
    beside("http/one", 0.95, "plain reqwest"),
    beside("http/one", 5.0, "registry endpoint"),
    beside("http/batch", 20.0, "plain reqwest, one each"),
    beside("durable/64w", 0.5, "raw append"),
    beside("durable/1w", 0.6, "raw append"),
    beside("durable/drain", 1.0, "the writing"),
];

impl Target {
    /// How `rows` meet it; nothing where a figure is missing.
    pub(crate) fn verdicts(&self, rows: &[Row]) -> Vec<Verdict> {
        let Some(ours) = find(rows, self.work, OURS) else { return Vec::new() };
        let seed = self.seed.and_then(|ratio| {
            find(rows, self.work, SEED).map(|seed| against(SEED, ratio, ours, seed))
        });
        let rival = self.rival.and_then(|(ratio, rival)| {
            let (peer, figure) = rival.find(rows, self.work)?;
            Some(against(peer, ratio, ours, figure))
        });
        let bytes = self.bytes.map(|most| Verdict {
            goal: format!("at most {most} B"),
            reached: ours.to_string(),
            met: matches!(ours, Figure::Size(bytes) if bytes <= most),
        });
        [seed, rival, bytes].into_iter().flatten().collect()
    }
}

impl Rival {
    fn find<'a>(&self, rows: &'a [Row], work: &str) -> Option<(&'a str, Figure)> {
        rows.iter()
            .filter(|row| row.work == work && row.is_rival())
            .filter(|row| match self {
                Self::Best => true,
                Self::Named(name) => row.peer == *name,
            })
            .min_by(|a, b| a.figure.value().total_cmp(&b.figure.value()))
            .map(|row| (row.peer.as_str(), row.figure))
    }
}

fn against(peer: &str, ratio: f64, ours: Figure, theirs: Figure) -> Verdict {
    let reached = theirs.value() / ours.value();
    Verdict {
        goal: format!("{ratio} × {peer}"),
        reached: format!("{reached:.2} ×"),
        met: reached >= ratio,
    }
}
