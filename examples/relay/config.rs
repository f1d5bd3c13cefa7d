//! Endpoints, and the TOML file that names them with a container registry's own settings.

use std::{collections::HashSet, fmt, fs, path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Deserializer, de::Error};
use toml::Value;

use crate::notification::Event;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    endpoints: Vec<Settings>,
}

/// One endpoint. Timeout, threshold and backoff are, unless set, as the registry has them.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What to call it; host and port of the URL if left out.
    pub name: String,
    pub url: String,
    /// Leaves it out.
    pub disabled: bool,
    #[serde(deserialize_with = "headers")]
    pub headers: Vec<(String, String)>,
    /// How long one request may take.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// After this many failures in a row it is left alone for `backoff`, again and again.
    pub threshold: u32,
    #[serde(with = "humantime_serde")]
    pub backoff: Duration,
    /// How many events go into one request at most.
    pub batch: usize,
    /// After failing for so long it is given up for good.
    #[serde(with = "humantime_serde")]
    pub give_up: Duration,
    pub ignore: Ignore,
}

/// The events that an endpoint is not to get.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ignore {
    pub mediatypes: Vec<String>,
    pub actions: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            disabled: false,
            headers: Vec::new(),
            timeout: Duration::from_secs(1),
            threshold: 10,
            backoff: Duration::from_secs(1),
            batch: 1,
            give_up: Duration::from_secs(10),
            ignore: Ignore::default(),
        }
    }
}

impl Settings {
    /// The default settings for `url`.
    pub fn to(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::default() }
    }
}

impl Ignore {
    pub fn covers(&self, event: &Event) -> bool {
        let names = |list: &[String], name: &Option<String>| {
            name.as_ref().is_some_and(|name| list.contains(name))
        };
        names(&self.mediatypes, &event.media_type) || names(&self.actions, &event.action)
    }
}

impl fmt::Debug for Settings {
    /// URLs and headers may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The endpoints in the file at `path` that are not disabled.
pub fn read(path: &Path) -> anyhow::Result<Vec<Settings>> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {shown}"))?;
    let config: Config = toml::from_str(&text).map_err(|error| {
        // Without the excerpt that the error itself would print: the line may hold a secret.
        let start = error.span().map_or(0, |span| span.start);
        let line = text[..start].matches('\n').count() + 1;
        anyhow::anyhow!("{shown}, line {line}: {}", error.message())
    })?;
    for (index, endpoint) in config.endpoints.iter().enumerate() {
        ensure!(!endpoint.url.is_empty(), "{shown}: endpoint {} has no `url`", index + 1);
    }
    Ok(config.endpoints.into_iter().filter(|endpoint| !endpoint.disabled).collect())
}

/// Gives the nameless a name; two of one name could not be told apart.
pub fn name_all(endpoints: &mut [Settings]) -> anyhow::Result<()> {
    let mut taken = HashSet::new();
    for endpoint in endpoints.iter().filter(|endpoint| !endpoint.name.is_empty()) {
        if !taken.insert(endpoint.name.clone()) {
            bail!("two endpoints are called `{}`", endpoint.name);
        }
    }
    for endpoint in endpoints.iter_mut().filter(|endpoint| endpoint.name.is_empty()) {
        let host = host_and_port(&endpoint.url);
        let numbered = (2..).map(|number| format!("{host} ({number})"));
        let mut names = std::iter::once(host.to_owned()).chain(numbered);
        endpoint.name = names.find(|name| taken.insert(name.clone())).unwrap_or_default();
    }
    Ok(())
}

/// What of `url` is safe to show: neither user nor path nor query.
fn host_and_port(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_scheme, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_user, host)| host)
}

/// A table of header names, each with one value or a list of them. No error shows a value.
fn headers<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<(String, String)>, D::Error> {
    let Value::Table(table) = Value::deserialize(input)? else {
        return Err(D::Error::custom("`headers` must be a table of names and values"));
    };
    let mut headers = Vec::new();
    for (name, values) in table {
        let values = if let Value::Array(values) = values { values } else { vec![values] };
        for value in values {
            let Value::String(value) = value else {
                return Err(D::Error::custom(format!(
                    "the header `{name}` must be a string or a list of strings"
                )));
            };
            headers.push((name.clone(), value));
        }
    }
    Ok(headers)
}
