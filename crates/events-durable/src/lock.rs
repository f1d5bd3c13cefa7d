use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::open_error::{OpenError, OpenErrorKind};

/// Held by the one process, and the one log in it, that may write to a file.
///
/// It is a lock on a file beside the database: closing any handle of the database itself would
/// release the database's own locks on it. The file stays, since removing it would race with
/// the next who opens it; the lock goes with the process, however that ends.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
}

impl FileLock {
    /// Of the file at this path, which is [one for all names](resolve) of it.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push("-lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = private(&mut options)
            .open(&beside)
            .map_err(|error| OpenError::new(OpenErrorKind::Io, path).with_source(error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::new(OpenErrorKind::InUse, path)),
            Err(TryLockError::Error(error)) => {
                Err(OpenError::new(OpenErrorKind::Io, path).with_source(error))
            }
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing it would not do while a child of this process has it too, after a fork.
        let _gone_with_the_process_at_the_latest = self.file.unlock();
    }
}

/// The one absolute path of the file at `path`, whatever the current directory is later. It says
/// the same for all names that lead to a file by way of symbolic links; a file with several names
/// of its own is refused, since each would have a lock, and a log of what is not in it, beside it.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    let io = |error| OpenError::new(OpenErrorKind::Io, path).with_source(error);
    match fs::canonicalize(path) {
        Ok(resolved) if names(&resolved).map_err(io)? > 1 => {
            let problem = "the file has several names (hard links); copy it to one of its own";
            Err(OpenError::new(OpenErrorKind::Setting, path).with_source(problem))
        }
        Ok(resolved) => Ok(resolved),
        // It is to be created: the directory is there, or the error says so.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let absolute = std::path::absolute(path).map_err(io)?;
            match (absolute.parent(), absolute.file_name()) {
                (Some(parent), Some(name)) => Ok(fs::canonicalize(parent).map_err(io)?.join(name)),
                _ => Err(io(error)),
            }
        }
        Err(error) => Err(io(error)),
    }
}

#[cfg(unix)]
fn names(path: &Path) -> io::Result<u64> {
    fs::metadata(path).map(|file| std::os::unix::fs::MetadataExt::nlink(&file))
}

#[cfg(not(unix))]
fn names(_path: &Path) -> io::Result<u64> {
    Ok(1)
}

/// Which file a path led to once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    #[cfg(unix)]
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).map(|file| Self(file.dev(), file.ino()))
    }

    /// Here an open file can be neither removed nor replaced.
    #[cfg(not(unix))]
    pub(crate) fn of(_path: &Path) -> io::Result<Self> {
        Ok(Self(0, 0))
    }
}

/// For the owner's eyes alone, where that can be said: events may hold secrets.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
