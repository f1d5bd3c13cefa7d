//! Who waits for whom, where a wait comes from inside a delivery.
//!
//! A delivery that waits for another, whose sink waits for the first, would wait for ever. So each such
//! wait is an edge in one graph, for as long as it lasts, and the one that would close a circle is
//! refused. What does not come from inside a delivery, and what ends by itself at a deadline, is no
//! part of it; so nobody pays for it but those who do wait inside a delivery.
//!
//! A delivery is named as in [`calls`]. The lock is a leaf: it may be taken under any other.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::{error::SinkError, runtime::calls};

/// Each delivery that waits, with those it waits for and how often: several of its calls may wait.
static WAITS: Mutex<Option<Graph>> = Mutex::new(None);

#[derive(Default)]
struct Graph {
    edges: HashMap<usize, HashMap<usize, usize>>,
    /// Deliveries that go on while one of their calls waits, since they have several at a time.
    wide: HashMap<usize, usize>,
}

impl Graph {
    /// Whether `to` waits for `from`, perhaps by way of others.
    fn leads(&self, to: usize, from: &[usize]) -> bool {
        let mut seen = vec![to];
        let mut next = 0;
        while let Some(delivery) = seen.get(next).copied() {
            if from.contains(&delivery) {
                return true;
            }
            next += 1;
            let onwards = self.edges.get(&delivery).into_iter().flat_map(HashMap::keys);
            let unseen: Vec<_> = onwards.filter(|to| !seen.contains(to)).copied().collect();
            seen.extend(unseen);
        }
        false
    }

    fn remove(&mut self, from: usize, to: usize) {
        let Some(waits) = self.edges.get_mut(&from) else { return };
        if let Some(count) = waits.get_mut(&to) {
            *count -= 1;
            if *count == 0 {
                waits.remove(&to);
            }
        }
        if waits.is_empty() {
            self.edges.remove(&from);
        }
    }
}

/// A wait from inside deliveries, until dropped.
#[derive(Debug)]
pub struct Waiting {
    from: Vec<usize>,
    to: usize,
}

impl Waiting {
    /// Begins to wait for `delivery`, from inside of those whose sinks are being called here.
    ///
    /// # Errors
    /// `WouldDeadlock`, if that waits for one of them; then nobody waits.
    pub fn begin(delivery: usize) -> Result<Self, SinkError> {
        let mut from = calls::all();
        if from.is_empty() {
            return Ok(Self { from, to: delivery });
        }
        let mut waits = WAITS.lock();
        let graph = waits.get_or_insert_default();
        from.retain(|delivery| !graph.wide.contains_key(delivery));
        if graph.leads(delivery, &from) {
            return Err(SinkError::would_deadlock(
                "this is called from inside a sink that the other one waits for, directly or by way \
                 of others; wait elsewhere, or with a deadline",
            ));
        }
        for from in &from {
            *graph.edges.entry(*from).or_default().entry(delivery).or_default() += 1;
        }
        Ok(Self { from, to: delivery })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.from.is_empty() {
            return;
        }
        let mut waits = WAITS.lock();
        let Some(graph) = waits.as_mut() else { return };
        for from in &self.from {
            graph.remove(*from, self.to);
        }
    }
}

/// Says that a delivery has several calls at a time, until dropped: one that waits does not hold up
/// the others.
#[derive(Debug)]
pub(crate) struct Wide(usize);

impl Wide {
    pub(crate) fn new(delivery: usize) -> Self {
        *WAITS.lock().get_or_insert_default().wide.entry(delivery).or_default() += 1;
        Self(delivery)
    }
}

impl Drop for Wide {
    fn drop(&mut self) {
        let mut waits = WAITS.lock();
        let Some(graph) = waits.as_mut() else { return };
        if let Some(count) = graph.wide.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                graph.wide.remove(&self.0);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{error::ErrorKind, runtime::calls::Running};

    /// Names that no other test has.
    const NAMES: [usize; 4] = [usize::MAX - 8, usize::MAX - 9, usize::MAX - 10, usize::MAX - 11];

    fn inside<T>(delivery: usize, call: impl FnOnce() -> T) -> T {
        let _running = Running::enter(delivery);
        call()
    }

    #[test]
    fn a_wait_that_would_close_a_circle_is_refused_while_the_others_last() {
        let [a, b, c, _] = NAMES;
        let first = inside(a, || Waiting::begin(b)).unwrap();
        let second = inside(b, || inside(c, || Waiting::begin(c - 100))).unwrap();
        for (from, to) in [(b, a), (c, c)] {
            let refused = inside(from, || Waiting::begin(to)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::WouldDeadlock);
        }
        drop(second);
        drop(first);
        inside(b, || Waiting::begin(a)).unwrap();
        assert!(Waiting::begin(a).is_ok(), "who is inside of nothing waits for whom it likes");
    }

    #[test]
    fn a_delivery_with_several_calls_does_not_wait_for_one_of_them() {
        let [.., wide] = NAMES;
        let other = wide - 100;
        let held = Wide::new(wide);
        let _first = inside(wide, || Waiting::begin(other)).unwrap();
        assert!(inside(other, || Waiting::begin(wide)).is_ok());
        drop(held);
    }
}
