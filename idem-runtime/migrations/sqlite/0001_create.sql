-- Times are microseconds since 1970 in UTC; the clock of SQLite ticks in milliseconds.
-- `strftime('%f')` is the seconds with three decimals, whose last three characters are the
-- milliseconds.

-- One row for each delivery that was handled, written in the transaction of its effect.
CREATE TABLE idem_keys (
    scope          TEXT    NOT NULL,
    key            BLOB    NOT NULL,
    fingerprint    BLOB,
    -- 0 claimed, 1 result, 2 permanent error, 3 done without a stored result
    state          INTEGER NOT NULL DEFAULT 0,
    result_version INTEGER NOT NULL DEFAULT 1,
    result         BLOB,
    created_at     INTEGER NOT NULL DEFAULT (strftime('%s', 'now') * 1000000 + substr(strftime('%f', 'now'), 4) * 1000),
    -- Set with the claim.
    expires_at     INTEGER,
    PRIMARY KEY (scope, key),
    -- In another encoding SQLite misreads the texts of this crate, and sqlx misreads all texts.
    CONSTRAINT encoding_must_be_utf_8 CHECK (CAST('a' AS BLOB) = X'61')
) STRICT, WITHOUT ROWID;

CREATE INDEX idem_keys_expiry ON idem_keys (expires_at) WHERE expires_at IS NOT NULL;

-- One row for each event that a committed transaction emitted.
CREATE TABLE idem_outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           BLOB    NOT NULL UNIQUE,
    topic        TEXT    NOT NULL,
    key          TEXT,
    type         TEXT    NOT NULL,
    payload      BLOB    NOT NULL,
    content_type TEXT    NOT NULL,
    headers      TEXT    NOT NULL,
    created_at   INTEGER NOT NULL DEFAULT (strftime('%s', 'now') * 1000000 + substr(strftime('%f', 'now'), 4) * 1000),
    attempts     INTEGER NOT NULL DEFAULT 0,
    -- Not tried before this time, and until then its ordering key waits, too. NULL unless the last
    -- attempt failed.
    retry_at     INTEGER,
    last_error   TEXT,
    published_at INTEGER,
    CONSTRAINT encoding_must_be_utf_8 CHECK (CAST('a' AS BLOB) = X'61')
) STRICT;

CREATE INDEX idem_outbox_pending ON idem_outbox (seq) WHERE published_at IS NULL;
CREATE INDEX idem_outbox_retry ON idem_outbox (key, retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX idem_outbox_published ON idem_outbox (published_at) WHERE published_at IS NOT NULL;

-- Events that failed to be published too often; they can be replayed from here.
CREATE TABLE idem_dead_letters (
    seq          INTEGER PRIMARY KEY,
    id           BLOB    NOT NULL UNIQUE,
    topic        TEXT    NOT NULL,
    key          TEXT,
    type         TEXT    NOT NULL,
    payload      BLOB    NOT NULL,
    content_type TEXT    NOT NULL,
    headers      TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    died_at      INTEGER NOT NULL DEFAULT (strftime('%s', 'now') * 1000000 + substr(strftime('%f', 'now'), 4) * 1000)
) STRICT;

-- Which relay publishes; the others stand by. One row.
CREATE TABLE idem_relay (
    name       TEXT    NOT NULL PRIMARY KEY,
    owner      BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- The version of this schema, and the random ID of this database that every event ID is derived
-- from. One row.
CREATE TABLE idem_schema (
    one       INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    version   INTEGER NOT NULL,
    namespace BLOB    NOT NULL DEFAULT (randomblob(16)),
    CONSTRAINT encoding_must_be_utf_8 CHECK (CAST('a' AS BLOB) = X'61')
) STRICT;

INSERT INTO idem_schema (version) VALUES (1);
