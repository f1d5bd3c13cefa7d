use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
};

use crate::open_error::{OpenError, OpenErrorKind};

/// Held by the one process, and the one queue in it, that may write to a file.
///
/// It is a lock on a file beside the database: closing any handle of the database itself would
/// release the database's own locks on it. The file stays, since removing it would race with
/// the next who opens it; the lock goes with the process, however that ends.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push("-lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = private(&mut options)
            .open(&beside)
            .map_err(|error| OpenError::new(OpenErrorKind::Io, path).with_source(error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::new(OpenErrorKind::InUse, path)),
            Err(TryLockError::Error(error)) => {
                Err(OpenError::new(OpenErrorKind::Io, path).with_source(error))
            }
        }
    }
}

/// For the owner's eyes alone, where that can be said: events may hold secrets.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
