//! The queue and the channel from outside, on threads and in tasks.

mod batch;
mod channel;
mod closing;
mod contract;
mod deadline;
mod delivery;
mod faults;
mod gone;
mod lanes;
mod lanes_end;
mod lanes_tasks;
mod overflow;
mod support;
mod tasks;
mod worker;
