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

-- One row for each event that a committed transaction emitted and no relay has published yet. Rows
-- are inserted and deleted, never updated.
CREATE TABLE idem_outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    -- Of 64: which relay takes it.
    shard        INTEGER NOT NULL DEFAULT 0,
    topic        TEXT    NOT NULL,
    key          TEXT,
    type         TEXT    NOT NULL,
    content_type TEXT    NOT NULL,
    headers      TEXT    NOT NULL,
    created_at   INTEGER NOT NULL DEFAULT (strftime('%s', 'now') * 1000000 + substr(strftime('%f', 'now'), 4) * 1000),
    -- The last one: what comes after it is found only by reading all of it.
    payload      BLOB    NOT NULL,
    CONSTRAINT encoding_must_be_utf_8 CHECK (CAST('a' AS BLOB) = X'61')
) STRICT;

-- How often something failed. Of an event that a relay could not publish, `origin` is `relay`,
-- `name` the relay's target, `source` is empty, and `id` is the event's in hexadecimal with dashes.
-- Of a message that a consumer could not handle, `origin` is `consumer`, `name` the consumer's, and
-- `source` and `id` are the message's.
CREATE TABLE idem_attempts (
    origin     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    attempts   INTEGER NOT NULL,
    -- Not tried before this time, and until then its ordering key waits, too.
    retry_at   INTEGER,
    last_error TEXT,
    touched_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now') * 1000000 + substr(strftime('%f', 'now'), 4) * 1000),
    PRIMARY KEY (origin, name, source, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX idem_attempts_touched ON idem_attempts (touched_at);

-- What failed too often; it can be replayed from here. Whose it is is said as in `idem_attempts`.
CREATE TABLE idem_dead_letters (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    origin       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    shard        INTEGER NOT NULL DEFAULT 0,
    topic        TEXT    NOT NULL,
    key          TEXT,
    type         TEXT    NOT NULL,
    payload      BLOB    NOT NULL,
    content_type TEXT    NOT NULL,
    headers      TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    died_at      INTEGER NOT NULL DEFAULT (strftime('%s', 'now') * 1000000 + substr(strftime('%f', 'now'), 4) * 1000),
    -- Letters are looked up by their IDs alone, too.
    UNIQUE (id, origin, name, source)
) STRICT;

-- Messages that wait in this database: what a service stored for itself (`origin` is `inbox`, `name`
-- the inbox's), and what a consumer put aside to go on with other keys, or took back from its dead
-- letters (`parked`, and the consumer's name). What is done is remembered for a while.
CREATE TABLE idem_inbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    origin       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    -- What stands for the ordering key: those that share it are handled in order.
    lane         BLOB,
    topic        TEXT    NOT NULL,
    key          TEXT,
    type         TEXT    NOT NULL,
    content_type TEXT    NOT NULL,
    headers      TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    -- Not handled before this time, and until then what comes after it in its lane waits, too.
    due_at       INTEGER NOT NULL DEFAULT (strftime('%s', 'now') * 1000000 + substr(strftime('%f', 'now'), 4) * 1000),
    -- Who handles it, until when, and how often somebody began to.
    owner        BLOB,
    until        INTEGER,
    taken        INTEGER NOT NULL DEFAULT 0,
    done_at      INTEGER,
    payload      BLOB    NOT NULL,
    UNIQUE (id, origin, name, source)
) STRICT;

CREATE INDEX idem_inbox_waiting ON idem_inbox (origin, name, seq) WHERE done_at IS NULL;
CREATE INDEX idem_inbox_lane ON idem_inbox (origin, name, lane, seq) WHERE done_at IS NULL;
CREATE INDEX idem_inbox_done ON idem_inbox (done_at) WHERE done_at IS NOT NULL;

-- The relays that run, and what each one takes.
CREATE TABLE idem_relays (
    owner   BLOB    NOT NULL PRIMARY KEY,
    target  TEXT    NOT NULL,
    -- What others see it by, while it lives. NULL: they wait until its lease ends.
    session TEXT,
    -- A JSON array. NULL: all topics.
    topics  TEXT,
    -- A bit for each shard.
    shards  INTEGER NOT NULL,
    -- The end of its lease.
    until   INTEGER NOT NULL
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
