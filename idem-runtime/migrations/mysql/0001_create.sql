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

-- One row for each event that a committed transaction emitted.
CREATE TABLE IF NOT EXISTS idem_outbox (
    seq          BIGINT      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    id           BINARY(16)  NOT NULL,
    topic        TEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    `key`        VARBINARY(255),
    type         TEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    payload      LONGBLOB    NOT NULL,
    content_type TEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    headers      LONGTEXT    CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_at   DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
    attempts     INT         NOT NULL DEFAULT 0,
    -- Not tried before this time, and until then its ordering key waits, too. NULL unless the last
    -- attempt failed.
    retry_at     DATETIME(6),
    last_error   TEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    published_at DATETIME(6),
    UNIQUE INDEX idem_outbox_id (id),
    INDEX idem_outbox_retry (retry_at),
    -- Both what is pending, in order of seq, and what was published, in order of time.
    INDEX idem_outbox_published (published_at, seq)
) ENGINE = InnoDB;

-- Events that failed to be published too often; they can be replayed from here.
CREATE TABLE IF NOT EXISTS idem_dead_letters (
    seq          BIGINT      NOT NULL PRIMARY KEY,
    id           BINARY(16)  NOT NULL,
    topic        TEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    `key`        VARBINARY(255),
    type         TEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    payload      LONGBLOB    NOT NULL,
    content_type TEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    headers      LONGTEXT    CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_at   DATETIME(6) NOT NULL,
    attempts     INT         NOT NULL,
    reason       TEXT        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    died_at      DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
    UNIQUE INDEX idem_dead_letters_id (id)
) ENGINE = InnoDB;

-- Which relay publishes; the others stand by. One row.
CREATE TABLE IF NOT EXISTS idem_relay (
    name       VARBINARY(255) NOT NULL PRIMARY KEY,
    owner      BINARY(16)     NOT NULL,
    expires_at DATETIME(6)    NOT NULL
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
