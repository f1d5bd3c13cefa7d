//! Why what is aimed at is missed, where it is: what the profile shows, and what was tried.

use crate::{rows::Row, targets::TARGETS};

/// Works, and where their time goes.
const CAUSES: &[(&[&str], &str)] = &[
    (
        &["queue/4p"],
        "Four producers meet at one lock, here as in the rivals; whoever comes out ahead changes from \
         run to run. Each holds it for one push.",
    ),
    (
        &["broadcast/1/direct", "broadcast/10/direct"],
        "Three quarters of a write to one sink are four atomic read-modify-writes: the sink's own, \
         the turn that is taken and given back, and the look for a writer that waits for it. The \
         last cannot be a plain read, or a writer could sleep for ever; a list behind a lock for \
         readers, or one that is swapped, has as many.",
    ),
    (
        &["broadcast/100/direct", "broadcast/1000/direct", "broadcast/10000/direct"],
        "`plain loop` is the floor, and all that is beside it is the cost of a write to one sink, \
         and the memory that 10,000 sinks take.",
    ),
    (
        &[
            "broadcast/1/queued",
            "broadcast/10/queued",
            "broadcast/100/queued",
            "broadcast/1000/queued",
            "broadcast/10000/queued",
        ],
        "Up to ten sinks, the write itself is most of it: a lock, and a reference count that the \
         readers have on their core. With more, two thirds of the samples are at the sink's own \
         atomic addition; one core does no more than one in the time that `plain loop` says, so two \
         cores have a floor of half of that for each subscriber. Tried without gain: registers \
         instead of a future's memory for what the loop looks at, a writer that yields by tokio's \
         budget, turns by the clock. What helped is in the design: one walk in one poll, and a \
         second worker as soon as one is behind.",
    ),
    (
        &["broadcast/1/sparse"],
        "An event passes two tasks and is a chunk of its own: two allocations, five locks that \
         nobody else wants, a look at the clock. It was nine locks and four allocations. It is one \
         of two figures, about 370 or about 600 ns, by whether tokio's second thread is woken to \
         look for work in between.",
    ),
    (
        &["broadcast/10000/sparse"],
        "One task walks through all of them: for each an atomic addition in the sink, one in its \
         account, and a line of memory that is not in the cache. With twenty tasks on two cores it \
         took twice as long, since the cores fought over the one counter of the sinks.",
    ),
    (
        &["memory/idle-queue"],
        "The task is 512 bytes, the log 320, the account 312, the rest is what they share. It was \
         1,672 bytes with futures that held their arguments twice. What is left is what flush, deadline, takeover and the policies look at.",
    ),
    (
        &["http/one"],
        "A request by hand, `plain reqwest`, is the floor: two wake-ups across threads, and the \
         system's network.",
    ),
    (
        &["durable/64w", "durable/1w", "durable/drain"],
        "The disk is shared with others here, and a burst of theirs makes any peer several times \
         slower for seconds.",
    ),
];

/// One paragraph for each cause of a miss; nothing if there is none.
pub(crate) fn causes(rows: &[Row]) -> String {
    let missed: Vec<_> = TARGETS
        .iter()
        .filter(|target| target.verdicts(rows).iter().any(|verdict| !verdict.met))
        .map(|target| target.work)
        .collect();
    let paragraphs = CAUSES.iter().filter_map(|(works, cause)| {
        let works = works.iter().filter(|work| missed.contains(work));
        let works: Vec<_> = works.map(|work| format!("`{work}`")).collect();
        (!works.is_empty()).then(|| format!("- {}: {cause}\n", works.join(", ")))
    });
    paragraphs.collect()
}
