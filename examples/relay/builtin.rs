//! The relay's own two receivers, and the check that each has every event it should.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use events_broadcast::Broadcaster;
use events_core::{SinkError, sink_fn};

use crate::{
    config::{Ignore, Settings},
    notification::Event,
    receiver::Receiver,
};

/// One that wants only pushes, and one that wants all and is hard to reach.
pub struct BuiltIn {
    steady: Receiver,
    hostile: Receiver,
    sent: Arc<Mutex<Sent>>,
}

/// The ids of the events that were read.
#[derive(Default)]
struct Sent {
    all: BTreeSet<String>,
    pushes: BTreeSet<String>,
}

impl BuiltIn {
    /// Starts both, and notes every event that passes through `all`.
    pub async fn start(seed: u64, all: &Broadcaster<Event>) -> anyhow::Result<Self> {
        let sent = Arc::new(Mutex::new(Sent::default()));
        let noted = Arc::clone(&sent);
        all.add(Arc::new(sink_fn(move |event: &Event| {
            if let Some(id) = &event.id {
                let mut sent = noted.lock().unwrap_or_else(PoisonError::into_inner);
                if event.action.as_deref() == Some("push") {
                    sent.pushes.insert(id.clone());
                }
                sent.all.insert(id.clone());
            }
            Ok::<_, SinkError>(())
        })))?;
        Ok(Self {
            steady: Receiver::steady().await?,
            hostile: Receiver::hostile(seed).await?,
            sent,
        })
    }

    /// How to reach them. The hostile one is given short pauses, so that a run takes seconds.
    pub fn endpoints(&self) -> Vec<Settings> {
        let steady = Settings {
            name: "steady".to_owned(),
            ignore: Ignore {
                actions: ["pull", "mount", "delete"].map(str::to_owned).to_vec(),
                ..Ignore::default()
            },
            ..Settings::to(&self.steady.url)
        };
        let hostile = Settings {
            name: "hostile".to_owned(),
            batch: 8,
            threshold: 3,
            backoff: Duration::from_millis(50),
            ..Settings::to(&self.hostile.url)
        };
        vec![steady, hostile]
    }

    /// What is wrong with what they took, if anything.
    pub fn check(&self) -> Result<String, String> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let steady = compare("steady", &sent.pushes, &self.steady.taken());
        let hostile = compare("hostile", &sent.all, &self.hostile.taken());
        let problems: Vec<_> = [steady, hostile].into_iter().filter_map(Result::err).collect();
        if problems.is_empty() {
            Ok("steady and hostile each have every event they should, by id".to_owned())
        } else {
            Err(problems.join("\n"))
        }
    }
}

fn compare(name: &str, sent: &BTreeSet<String>, taken: &BTreeSet<String>) -> Result<(), String> {
    let missing = sent.difference(taken).count();
    let surplus = taken.difference(sent).count();
    if missing == 0 && surplus == 0 {
        return Ok(());
    }
    Err(format!("{name} lacks {missing} events and has {surplus} that it should not have"))
}
