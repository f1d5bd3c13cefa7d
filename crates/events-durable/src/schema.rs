//! The tables in the file, and telling a file of ours from any other.

use std::{fs::OpenOptions, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::{
    durability::Durability,
    lock, migration,
    open_error::{OpenError, OpenErrorKind},
    tables::TABLES,
};

/// In the file's header, by which tools can tell it: the letters `EvDQ`.
const APPLICATION_ID: i64 = 0x4576_4451;
/// The version of the tables. A change of the tables is a new version with a
/// [migration](crate::migration) from the one before.
const VERSION: i64 = 2;
/// How long the write-ahead log gets before it is written into the file and begun anew. A commit
/// that overwrites the log takes half as long as one that makes it longer, so a short log is fast
/// sooner; one much shorter would be written into the file all the time.
const LOG_PAGES: i64 = 500;
/// How long to wait for somebody who looks inside with a tool and has locked the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose file it is that the tables are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The log's: nothing else is in it.
    Log,
    /// Another program's, which has tables of its own there.
    Program,
}

/// Opens the file for its one writer, who holds the lock, and creates what is missing.
pub(crate) fn open(
    path: &Path,
    durability: Durability,
    owner: Owner,
) -> Result<Connection, OpenError> {
    let sqlite = |error| OpenError::sqlite(path, error);
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    // SQLite gives the files beside it the same permissions. The handle is closed before SQLite
    // has opened the file, and so before there are locks that it could release.
    lock::private(&mut options)
        .open(path)
        .map_err(|error| OpenError::new(OpenErrorKind::Io, path).with_source(error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(PATIENCE).map_err(sqlite)?;
    // Looked at before anything is written: the file may be somebody else's.
    let version = match owner {
        Owner::Log => check(path, &connection)?,
        Owner::Program => check_inside(path, &connection)?,
    };
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    let set = |connection: &Connection| {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", 16 << 20)
    };
    set(&connection).map_err(sqlite)?;
    match version {
        None => create(&mut connection, owner).map_err(sqlite)?,
        Some(VERSION) => {}
        Some(_) => migrate(&mut connection).map_err(sqlite)?,
    }
    Ok(connection)
}

/// Opens the file to read, whether or not a log has it open. A file of an older version is only
/// read once it has been opened by a log.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |error| OpenError::sqlite(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(PATIENCE).map_err(sqlite)?;
    let error = |kind, problem: &str| OpenError::new(kind, path).with_source(problem.to_owned());
    let is_inside = owner_of(&connection).map_err(sqlite)? == Owner::Program
        && has_tables(&connection).map_err(sqlite)?;
    let version =
        if is_inside { check_inside(path, &connection)? } else { check(path, &connection)? };
    match version {
        Some(VERSION) => Ok(connection),
        Some(_) => Err(error(
            OpenErrorKind::Older,
            "open it with a DurableLog or DurableQueue once, which brings it up to date",
        )),
        None => Err(error(OpenErrorKind::Foreign, "the file is empty")),
    }
}

/// The version of our tables; an error if something else is there. `None` for an empty file.
fn check(path: &Path, connection: &Connection) -> Result<Option<i64>, OpenError> {
    let number = |sql: &str| -> Result<i64, OpenError> {
        connection.query_row(sql, [], |row| row.get(0)).map_err(|e| OpenError::sqlite(path, e))
    };
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_master")?;
    if application == APPLICATION_ID {
        return match version {
            1..=VERSION => Ok(Some(version)),
            newer if newer > VERSION => {
                let problem = format!("its tables have version {newer}, known is {VERSION}");
                Err(OpenError::new(OpenErrorKind::Newer, path).with_source(problem))
            }
            _ => {
                let problem = format!("its tables have no such version as {version}");
                Err(OpenError::new(OpenErrorKind::Corrupt, path).with_source(problem))
            }
        };
    }
    if application == 0 && version == 0 && tables == 0 {
        return Ok(None);
    }
    let problem = "it is the database of another application";
    Err(OpenError::new(OpenErrorKind::Foreign, path).with_source(problem))
}

/// The version of our tables in a file that may hold others; `None` if they are not there.
fn check_inside(path: &Path, connection: &Connection) -> Result<Option<i64>, OpenError> {
    let sqlite = |error| OpenError::sqlite(path, error);
    if !has_tables(connection).map_err(sqlite)? {
        return Ok(None);
    }
    let version = connection
        .query_row("SELECT version FROM durable_log", [], |row| row.get(0))
        .map_err(sqlite)?;
    if version > VERSION {
        let problem = format!("its tables have version {version}, known is {VERSION}");
        return Err(OpenError::new(OpenErrorKind::Newer, path).with_source(problem));
    }
    Ok(Some(version))
}

/// Whose file it is.
pub(crate) fn owner_of(connection: &Connection) -> rusqlite::Result<Owner> {
    let application: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    Ok(if application == APPLICATION_ID { Owner::Log } else { Owner::Program })
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'durable_log')";
    connection.query_row(sql, [], |row| row.get(0))
}

/// All in one transaction, the marks in the header too: the file is ours entirely or not at all.
fn create(connection: &mut Connection, owner: Owner) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    if owner == Owner::Log {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    migration::from_version_1(&transaction)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
