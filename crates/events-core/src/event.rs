/// Anything that can be handed through a pipeline.
///
/// Every type that is `Send + Sync + 'static` is an event, sized or not; there is nothing to
/// implement. A batch is the event type `[E]`. Buffers clone what they keep, so pass large events
/// as `Arc<T>`.
///
/// ```
/// fn is_event<E: events_core::Event + ?Sized>() {}
/// is_event::<String>();
/// is_event::<[String]>();
/// ```
pub trait Event: Send + Sync + 'static {}

impl<T: ?Sized + Send + Sync + 'static> Event for T {}
