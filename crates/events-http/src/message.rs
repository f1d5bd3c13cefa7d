use std::{borrow::Cow, fmt};

use bytes::Bytes;

/// What is sent for one event: a body, its content type, and headers of its own.
///
/// Cheap to clone; the body is shared. The headers that the [`Builder`](crate::Builder) was given
/// win over those of the same name here.
#[derive(Clone)]
pub struct Message {
    pub(crate) content_type: Cow<'static, str>,
    pub(crate) headers: Vec<(Cow<'static, str>, String)>,
    pub(crate) id: Option<String>,
    pub(crate) body: Bytes,
}

impl Message {
    /// A message of this media type.
    pub fn new(content_type: impl Into<Cow<'static, str>>, body: impl Into<Bytes>) -> Self {
        Self { content_type: content_type.into(), headers: Vec::new(), id: None, body: body.into() }
    }

    /// Adds a header that belongs to this event alone. One that cannot be sent, for a line break
    /// in its value say, has the event rejected.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Names the event, the same at each attempt, for a signature to cover. It is not sent by
    /// itself.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// What names the event, if anything does.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The body as it is sent.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body's media type.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("content_type", &self.content_type)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
