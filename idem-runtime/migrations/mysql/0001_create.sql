-- For MariaDB and MySQL. DDL commits by itself here, so every statement may run again after a crash
-- in the middle. Times are UTC, whatever the session's time zone. What is compared is binary: no
-- collation, no padding.

-- One row for each delivery that was handled, written in the transaction of its effect.
CREATE TABLE IF NOT EXISTS idem_keys (
    scope          VARBINARY(255) NOT NULL,
    `key`          VARBINARY(64)  NOT NULL,
    fingerprint    VARBINARY(64),
    -- 0 claimed, 1 result, 2 permanent error, 3 done without a stored result
    state          TINYINT        NOT NULL DEFAULT 0,
    result_version INT UNSIGNED   NOT NULL DEFAULT 1,
    result         LONGBLOB,
    created_at     DATETIME(6)    NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
    -- Set with the claim.
    expires_at     DATETIME(6),
    PRIMARY KEY (scope, `key`),
    INDEX idem_keys_expiry (expires_at)
) ENGINE = InnoDB;

-- One row for each event that a committed transaction emitted and no relay has published yet. Rows
-- are inserted and deleted, never updated.
CREATE TABLE IF NOT EXISTS idem_outbox (
    seq          BIGINT      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    id           BINARY(16)  NOT NULL,
    -- Of 64: which relay takes it.
    shard        SMALLINT    NOT NULL DEFAULT 0,
    topic        TEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    `key`        VARBINARY(255),
    type         TEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    payload      LONGBLOB    NOT NULL,
    content_type TEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    headers      LONGTEXT    CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_at   DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
    -- A relay bounds what it reads by this. The server would read a whole payload to tell its length.
    size         BIGINT      GENERATED ALWAYS AS (LENGTH(payload) + LENGTH(headers) + LENGTH(topic) + LENGTH(type)
        + COALESCE(LENGTH(`key`), 0)) STORED,
    UNIQUE INDEX idem_outbox_id (id)
) ENGINE = InnoDB;

-- How often something failed. Of an event that a relay could not publish, `origin` is `relay`,
-- `name` the relay's target, `source` is empty, and `id` is the event's in hexadecimal with dashes.
-- Of a message that a consumer could not handle, `origin` is `consumer`, `name` the consumer's, and
-- `source` and `id` are the message's.
-- Together the four have less than the 3,072 bytes that an index takes.
CREATE TABLE IF NOT EXISTS idem_attempts (
    origin     VARBINARY(16)   NOT NULL,
    name       VARBINARY(255)  NOT NULL,
    source     VARBINARY(1024) NOT NULL,
    id         VARBINARY(1024) NOT NULL,
    attempts   INT             NOT NULL,
    -- Not tried before this time, and until then its ordering key waits, too.
    retry_at   DATETIME(6),
    last_error TEXT            CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    touched_at DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
    PRIMARY KEY (origin, name, source, id),
    INDEX idem_attempts_touched (touched_at)
) ENGINE = InnoDB;

-- What failed too often; it can be replayed from here. Whose it is is said as in `idem_attempts`.
CREATE TABLE IF NOT EXISTS idem_dead_letters (
    number       BIGINT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    origin       VARBINARY(16)   NOT NULL,
    name         VARBINARY(255)  NOT NULL,
    source       VARBINARY(1024) NOT NULL,
    id           VARBINARY(1024) NOT NULL,
    shard        SMALLINT        NOT NULL DEFAULT 0,
    topic        TEXT            CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    -- Of a message that came in: a producer elsewhere may have longer keys than the outbox.
    `key`        LONGBLOB,
    type         TEXT            CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    payload      LONGBLOB        NOT NULL,
    content_type TEXT            CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    headers      LONGTEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_at   DATETIME(6)     NOT NULL,
    attempts     INT             NOT NULL,
    reason       TEXT            CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    died_at      DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
    -- Letters are looked up by their IDs alone, too.
    UNIQUE INDEX idem_dead_letters_id (id, origin, name, source)
) ENGINE = InnoDB;

-- Messages that wait in this database: what a service stored for itself (`origin` is `inbox`, `name`
-- the inbox's), and what a consumer put aside to go on with other keys, or took back from its dead
-- letters (`parked`, and the consumer's name). What is done is remembered for a while.
CREATE TABLE IF NOT EXISTS idem_inbox (
    seq          BIGINT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    origin       VARBINARY(16)   NOT NULL,
    name         VARBINARY(255)  NOT NULL,
    source       VARBINARY(1024) NOT NULL,
    id           VARBINARY(1024) NOT NULL,
    -- What stands for the ordering key: those that share it are handled in order.
    lane         BINARY(16),
    topic        TEXT            CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    `key`        LONGBLOB,
    type         TEXT            CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    payload      LONGBLOB        NOT NULL,
    content_type TEXT            CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    headers      LONGTEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_at   DATETIME(6)     NOT NULL,
    -- Not handled before this time, and until then what comes after it in its lane waits, too.
    due_at       DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
    -- Who handles it, until when, and how often somebody began to.
    owner        BINARY(16),
    `until`      DATETIME(6),
    taken        INT             NOT NULL DEFAULT 0,
    done_at      DATETIME(6),
    UNIQUE INDEX idem_inbox_id (id, origin, name, source),
    INDEX idem_inbox_waiting (origin, name, done_at, seq),
    INDEX idem_inbox_lane (origin, name, lane, done_at, seq),
    INDEX idem_inbox_done (done_at)
) ENGINE = InnoDB;

-- The relays that run, and what each one takes.
CREATE TABLE IF NOT EXISTS idem_relays (
    owner   BINARY(16)     NOT NULL PRIMARY KEY,
    target  VARBINARY(255) NOT NULL,
    -- What others see it by, while it lives. NULL: they wait until its lease ends.
    session VARBINARY(512),
    -- A JSON array. NULL: all topics.
    topics  LONGTEXT       CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    -- A bit for each shard.
    shards  BIGINT         NOT NULL,
    -- The end of its lease.
    `until` DATETIME(6)    NOT NULL
) ENGINE = InnoDB;

-- The version of this schema, and the random ID of this database that every event ID is derived
-- from. One row.
CREATE TABLE IF NOT EXISTS idem_schema (
    one       TINYINT    NOT NULL PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    version   INT        NOT NULL,
    namespace BINARY(16) NOT NULL
) ENGINE = InnoDB;

INSERT INTO idem_schema (version, namespace) VALUES (1, LEFT(UNHEX(SHA2(CONCAT(UUID(), RAND(), RAND(), @@hostname), 256)), 16))
ON DUPLICATE KEY UPDATE version = GREATEST(version, 1);
