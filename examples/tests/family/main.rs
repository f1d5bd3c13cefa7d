//! What only the whole family together can show.

mod accounting;
mod conformance;
mod deadline;
mod thread_end;
