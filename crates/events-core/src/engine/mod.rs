//! The machinery under queues and broadcasters, for those who build such things.
//!
//! **No promise of stability**: it may change in any release. An application wants `events-queue`
//! or `events-broadcast` instead, and a sink of one's own needs nothing from here.

pub(crate) mod account;
pub(crate) mod cursor;
pub(crate) mod deliver;
pub mod feed;
pub(crate) mod groups;
pub mod isolate;
pub(crate) mod member;
pub(crate) mod position;
pub(crate) mod scheduler;
pub(crate) mod waits;
pub(crate) mod waker_set;
pub(crate) mod worker;
mod worker_handle;

#[doc(hidden)]
pub use crate::runtime::sync;
pub use crate::runtime::{
    clock,
    dispose::{dispose, dispose_each, wake},
    park,
    trace::{TraceLimit, tell},
};
pub use account::{Account, AccountConfig, OnAbort, OnEnd};
pub use cursor::Cursor;
pub use deliver::{Batches, Blocking, Deliver, Each};
pub use groups::{Groups, Run};
pub use position::Position;
pub use scheduler::{Deliverer, KeyOf, Mode, Policy, Rules, schedule};
pub use waits::Waiting;
pub use waker_set::{WakeList, WakerKey, WakerSet};
pub use worker::{Linger, Worker};
