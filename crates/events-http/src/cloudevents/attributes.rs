use std::{
    borrow::Cow,
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Serialize, Serializer};

/// What a CloudEvent is: its id, source and type, and what else is said of it.
///
/// Every value is checked when it is set, so that what there is may be sent. The media type of the
/// data is that of the format that makes it.
///
/// ```
/// use events_http::cloudevents::Attributes;
///
/// let attributes = Attributes::new("7", "https://example.com/shop", "com.example.order.placed")?
///     .subject("order 7")?
///     .extension("partitionkey", "customer 3")?;
/// assert!(Attributes::new("", "/shop", "order").is_err());
/// # Ok::<(), events_http::cloudevents::InvalidAttribute>(())
/// ```
#[derive(Clone)]
pub struct Attributes {
    /// In the order they were set; no name twice.
    all: Vec<(Cow<'static, str>, Value)>,
}

impl Attributes {
    /// The attributes that each event has. `id` and `source` together tell it from all others, so
    /// an event that is sent again keeps them; `source` is a URI or the end of one; `kind` is what
    /// the specification calls its type, best with a reversed domain name in front.
    ///
    /// # Errors
    /// One is empty or holds characters that it must not; `source` is no URI reference.
    pub fn new(
        id: impl Into<String>,
        source: impl Into<String>,
        kind: impl Into<String>,
    ) -> Result<Self, InvalidAttribute> {
        let mut attributes = Self { all: Vec::with_capacity(6) };
        attributes.set("specversion", Value::Text("1.0".to_owned()));
        attributes.set_text("id", id.into())?;
        attributes.set_uri("source", source.into())?;
        attributes.set_text("type", kind.into())?;
        Ok(attributes)
    }

    /// What of its source the event is about.
    ///
    /// # Errors
    /// It is empty or holds characters that it must not.
    pub fn subject(mut self, subject: impl Into<String>) -> Result<Self, InvalidAttribute> {
        self.set_text("subject", subject.into())?;
        Ok(self)
    }

    /// When it happened.
    ///
    /// # Errors
    /// It was before 1970 or comes after 9999.
    pub fn time(mut self, time: SystemTime) -> Result<Self, InvalidAttribute> {
        /// The first second of the year 10000.
        const END: Duration = Duration::from_hours(70_389_528);
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) if since < END => {
                let time = humantime::format_rfc3339_nanos(time).to_string();
                self.set("time", Value::Text(time));
                Ok(self)
            }
            _ => Err(InvalidAttribute::new("time", "is not between 1970 and 9999")),
        }
    }

    /// Where the schema of the data is, as a URI.
    ///
    /// # Errors
    /// It is not a URI.
    pub fn data_schema(mut self, uri: impl Into<String>) -> Result<Self, InvalidAttribute> {
        let uri = uri.into();
        if reqwest::Url::parse(&uri).is_err() {
            return Err(InvalidAttribute::new("dataschema", "is not a URI"));
        }
        self.set_uri("dataschema", uri)?;
        Ok(self)
    }

    /// An attribute of another name, up to 20 lower-case letters and digits of ASCII.
    ///
    /// # Errors
    /// The name is another or has a meaning already, or the value is empty or holds characters that
    /// it must not.
    pub fn extension(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Value>,
    ) -> Result<Self, InvalidAttribute> {
        const TAKEN: [&str; 10] = [
            "specversion",
            "id",
            "source",
            "type",
            "subject",
            "time",
            "dataschema",
            "datacontenttype",
            "data",
            "data_base64",
        ];
        let name = name.into();
        let well_formed = (1..=20).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !well_formed || TAKEN.contains(&&*name) {
            // Not repeated: whoever makes names of data may have made this one of a secret.
            return Err(InvalidAttribute::new("(extension)", "has a name that is not allowed"));
        }
        match value.into() {
            Value::Text(text) => self.set_text(name, text)?,
            value => self.set(name, value),
        }
        Ok(self)
    }

    pub(super) fn id(&self) -> &str {
        self.iter()
            .find_map(|(name, value)| match value {
                Value::Text(text) if name == "id" => Some(text.as_str()),
                _ => None,
            })
            .unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.all.iter().map(|(name, value)| (&**name, value))
    }

    fn set_uri(&mut self, name: &'static str, uri: String) -> Result<(), InvalidAttribute> {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
        if !uri.bytes().all(allowed) {
            return Err(InvalidAttribute::new(name, "is not a URI reference"));
        }
        self.set_text(name, uri)
    }

    fn set_text(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        text: String,
    ) -> Result<(), InvalidAttribute> {
        let name = name.into();
        if text.is_empty() {
            return Err(InvalidAttribute::new(name, "is empty"));
        }
        if text.chars().any(is_forbidden) {
            return Err(InvalidAttribute::new(
                name,
                "holds a control character or what is no character",
            ));
        }
        self.set(name, Value::Text(text));
        Ok(())
    }

    fn set(&mut self, name: impl Into<Cow<'static, str>>, value: Value) {
        let name = name.into();
        match self.all.iter_mut().find(|(set, _)| *set == name) {
            Some((_, old)) => *old = value,
            None => self.all.push((name, value)),
        }
    }
}

/// The control characters, and the code points that Unicode keeps from being characters.
fn is_forbidden(character: char) -> bool {
    let code = character as u32;
    character.is_control() || matches!(code, 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
}

/// Names, without values.
impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// The value of an attribute.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i32),
    /// Any text, URIs and times among it.
    Text(String),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i32(*value),
            Self::Text(value) => serializer.serialize_str(value),
        }
    }
}

/// The canonical string.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
        }
    }
}

/// The kind, without the value.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean(_) => "Boolean",
            Self::Integer(_) => "Integer",
            Self::Text(_) => "Text",
        })
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// An attribute that CloudEvents do not allow. It names the attribute, and does not show its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidAttribute {
    name: Cow<'static, str>,
    problem: &'static str,
}

impl InvalidAttribute {
    fn new(name: impl Into<Cow<'static, str>>, problem: &'static str) -> Self {
        Self { name: name.into(), problem }
    }
}

impl fmt::Display for InvalidAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the attribute {} {}", self.name, self.problem)
    }
}

impl std::error::Error for InvalidAttribute {}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Attributes {
        Attributes::new("secret", "/secret", "secret").unwrap()
    }

    #[test]
    fn what_the_specification_forbids_is_refused_without_telling_it() {
        let refused = [
            Attributes::new("", "/a", "b"),
            Attributes::new("1", "", "b"),
            Attributes::new("1", "/a", ""),
            Attributes::new("secret\n", "/a", "b"),
            Attributes::new("secret\u{85}", "/a", "b"),
            Attributes::new("secret\u{fdd0}", "/a", "b"),
            Attributes::new("secret\u{1ffff}", "/a", "b"),
            Attributes::new("1", "/secret secret", "b"),
            Attributes::new("1", "/sécret", "b"),
            plain().subject(""),
            plain().data_schema("/secret"),
            plain().time(SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
            plain().time(SystemTime::UNIX_EPOCH + Duration::from_hours(70_389_528)),
            plain().extension("Secret", 1),
            plain().extension("secret_", 1),
            plain().extension("", 1),
            plain().extension("secretsecretsecretsec", 1),
            plain().extension("data", 1),
            plain().extension("id", 1),
            plain().extension("a", "secret\0"),
        ];
        for (number, refused) in refused.into_iter().enumerate() {
            let error = refused.expect_err(&number.to_string());
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_set_again_takes_the_place_of_the_first() {
        let attributes = plain().extension("a", 1).unwrap().extension("a", "b").unwrap();
        let values: Vec<_> = attributes.iter().filter(|(name, _)| *name == "a").collect();
        assert!(matches!(values[..], [(_, Value::Text(_))]));
        assert!(!format!("{attributes:?} {values:?}").contains("secret"));
    }
}
