//! The tables in the file: the README says what they hold.

pub(crate) const TABLES: &str = "
    CREATE TABLE durable_log (
        version INTEGER NOT NULL,
        last    INTEGER NOT NULL,
        trimmed INTEGER NOT NULL
    );
    INSERT INTO durable_log VALUES (2, 0, 1);
    CREATE TABLE durable_openings (
        first INTEGER PRIMARY KEY,
        id    TEXT NOT NULL
    );
    CREATE TABLE durable_events (
        seq     INTEGER PRIMARY KEY,
        written INTEGER NOT NULL,
        event   TEXT NOT NULL
    );
    CREATE TABLE durable_consumers (
        consumer INTEGER PRIMARY KEY AUTOINCREMENT,
        name     TEXT NOT NULL UNIQUE,
        position INTEGER NOT NULL,
        disabled INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE durable_deliveries (
        consumer     INTEGER NOT NULL,
        seq          INTEGER NOT NULL,
        state        INTEGER NOT NULL,
        key          INTEGER,
        attempts     INTEGER NOT NULL,
        due          INTEGER NOT NULL,
        first_failed INTEGER,
        last_failed  INTEGER,
        error        TEXT,
        PRIMARY KEY (consumer, seq)
    ) WITHOUT ROWID;
    CREATE INDEX deliveries_by_due ON durable_deliveries (consumer, due, seq) WHERE state = 0;
    CREATE INDEX deliveries_by_key ON durable_deliveries (consumer, key, seq) WHERE state < 2;
    CREATE INDEX deliveries_by_seq ON durable_deliveries (seq);
    CREATE TABLE durable_attempts (
        seq      INTEGER NOT NULL,
        consumer INTEGER NOT NULL,
        attempt  INTEGER NOT NULL,
        at       INTEGER NOT NULL,
        error    TEXT NOT NULL,
        PRIMARY KEY (seq, consumer, attempt)
    ) WITHOUT ROWID;
";

/// The name by which a file knows the one consumer of a queue.
pub(crate) const QUEUE: &str = "queue";
