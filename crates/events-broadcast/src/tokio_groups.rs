use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::Arc,
};

use events_core::{
    Event,
    engine::{Deliver, Groups, sync::Mutex},
};
use tokio::runtime::{Handle, Id};

/// The groups of asynchronous sinks of a broadcaster: those of one type, with the same bound, in
/// one runtime share tasks.
#[derive(Default)]
pub(crate) struct TokioGroups(Mutex<HashMap<Key, Box<dyn Any + Send + Sync>>>);

type Key = (TypeId, Option<u64>, Id);

impl TokioGroups {
    /// The groups for sinks that are delivered to by `D`.
    pub(crate) fn of<E, D>(&self, bound: Option<u64>, runtime: &Handle) -> Arc<Groups<E, D>>
    where
        E: Event + Clone,
        D: Deliver<E> + 'static,
    {
        let key = (TypeId::of::<Groups<E, D>>(), bound, runtime.id());
        let mut groups = self.0.lock();
        let known = groups.get(&key).and_then(|any| any.downcast_ref::<Arc<Groups<E, D>>>());
        if let Some(known) = known {
            return Arc::clone(known);
        }
        let runtime = runtime.clone();
        let cores = runtime.metrics().num_workers();
        let new = Arc::new(Groups::new(cores, move |worker| drop(runtime.spawn(worker))));
        groups.insert(key, Box::new(Arc::clone(&new)));
        new
    }
}

impl fmt::Debug for TokioGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.0.lock().len();
        f.debug_struct("TokioGroups").field("kinds", &kinds).finish()
    }
}
