use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
};

use events_core::ConfigError;

/// Why a file could not be opened, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// A setting makes no sense; the source says which.
    Setting,
    /// Another log or queue has the file, in this process or another one; or the consumer runs
    /// already.
    InUse,
    /// The file holds something else, and was left alone.
    Foreign,
    /// The file was written by a newer version of this crate, and was left alone.
    Newer,
    /// The file was written by an older version of this crate, and is only to be read.
    Older,
    /// The file is damaged: cut short, or overwritten.
    Corrupt,
    /// The log is closed.
    Closed,
    /// The operating system refused: no such directory, no permission, a full disk.
    Io,
}

/// Why a file could not be opened, or read: the kind, the path and what is behind it.
#[derive(Debug)]
pub struct OpenError {
    kind: OpenErrorKind,
    path: PathBuf,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl OpenError {
    pub(crate) fn new(kind: OpenErrorKind, path: &Path) -> Self {
        Self { kind, path: path.to_owned(), source: None }
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn setting(path: &Path, error: ConfigError) -> Self {
        Self::new(OpenErrorKind::Setting, path).with_source(error)
    }

    pub(crate) fn sqlite(path: &Path, error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let kind = match error.sqlite_error_code() {
            Some(NotADatabase) => OpenErrorKind::Foreign,
            Some(DatabaseCorrupt) => OpenErrorKind::Corrupt,
            _ => OpenErrorKind::Io,
        };
        Self::new(kind, path).with_source(error)
    }

    /// In a word, why.
    pub const fn kind(&self) -> OpenErrorKind {
        self.kind
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.kind {
            OpenErrorKind::Setting => write!(f, "a setting for {path} makes no sense"),
            OpenErrorKind::InUse => write!(f, "{path} is in use by another log or queue"),
            OpenErrorKind::Foreign => write!(f, "{path} is not a file of a durable log"),
            OpenErrorKind::Newer => write!(f, "{path} was written by a newer version"),
            OpenErrorKind::Older => write!(f, "{path} was written by an older version"),
            OpenErrorKind::Corrupt => write!(f, "{path} is damaged"),
            OpenErrorKind::Closed => write!(f, "the log in {path} is closed"),
            OpenErrorKind::Io => write!(f, "{path} could not be read or written"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
