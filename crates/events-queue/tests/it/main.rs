//! The queue and the channel from outside, on threads and in tasks.

mod batch;
mod capacity_bytes;
mod channel;
mod close_on_drop;
mod closing;
mod concurrent;
mod concurrent_end;
mod concurrent_tasks;
mod contract;
mod deadline;
mod delivery;
mod faults;
mod gone;
mod overflow;
mod pausing;
mod promise;
mod redelivery;
mod support;
mod tasks;
mod worker;
