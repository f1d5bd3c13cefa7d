use crate::runtime::calls;

/// Whether this very call comes from inside a delivery: a sink, a dead letter or an error handler
/// that something of the family is calling on this thread, in this poll; or from inside a trace
/// with which it tells of one.
///
/// A log that writes to a sink asks it, so that it does not feed itself: what a delivery logs is an
/// event, whose delivery logs, and so on for ever. Leave such events out, and have another layer
/// print them:
///
/// ```
/// use events_core::{Sink, is_delivering};
/// use std::{fmt::Write, sync::Arc};
/// use tracing::{Event, Metadata, Subscriber, span};
///
/// /// Writes each message to a sink.
/// struct Log(Arc<dyn Sink<String>>);
///
/// impl Subscriber for Log {
///     fn enabled(&self, _: &Metadata<'_>) -> bool {
///         true
///     }
///
///     fn event(&self, event: &Event<'_>) {
///         if is_delivering() {
///             return;
///         }
///         let mut line = String::new();
///         event.record(&mut |_: &tracing::field::Field, value: &dyn std::fmt::Debug| {
///             let _ = write!(line, "{value:?} ");
///         });
///         // An error has nowhere to be told but here.
///         let _ = self.0.write(&line);
///     }
///     # fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
///     #     span::Id::from_u64(1)
///     # }
///     # fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
///     # fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
///     # fn enter(&self, _: &span::Id) {}
///     # fn exit(&self, _: &span::Id) {}
/// }
///
/// let kept = Arc::new(events_core::Memory::new());
/// tracing::subscriber::with_default(Log(kept.clone()), || tracing::info!("started"));
/// assert_eq!(kept.events(), ["started "]);
/// ```
///
/// What a sink leaves to other threads or tasks, as an HTTP client does its connections, logs from
/// there: leave that out by its target (`hyper`, `h2`, `reqwest`). The `logs` example shows both, and
/// a table in the crate's [docs](crate#what-is-told) what the family tells by itself.
pub fn is_delivering() -> bool {
    calls::is_inside_any() || calls::is_telling()
}
