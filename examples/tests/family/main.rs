//! What only the whole family together can show.

mod accounting;
mod conformance;
mod cycles;
mod deadline;
mod drops;
mod numbers;
mod thread_end;
