//! The statements of a call: its claim, its row, its events, its end.

use std::fmt::Write as _;
use std::time::Duration;

use super::literal::{bytes, optional, text};
use super::round_trip::{END_READ, READ_COMMITTED};
use crate::key::StoredKey;
use crate::outbox::Row;
use crate::store::{BeginArgs, Claim, FinishArgs};

pub(super) const RESTORE_AUTOCOMMIT: &str = "SET autocommit = @idem_autocommit";
pub(super) const RESTORE_WAIT: &str = "SET innodb_lock_wait_timeout = @idem_wait";

/// One SET for all: a batch costs the server time for each of its statements.
pub(super) fn opening_sql(settings: &str, begin: &str, opening: &BeginArgs<'_>) -> String {
    let mut sql = format!("SET {settings}@idem_wait = @@innodb_lock_wait_timeout");
    if let Some(claim) = &opening.claim {
        let _ = write!(
            sql,
            ", innodb_lock_wait_timeout = {}; {begin}\
             INSERT INTO idem_keys (scope, `key`, fingerprint) VALUES ({}, {}, {}); {RESTORE_WAIT}; ",
            lock_wait(opening.wait),
            bytes(claim.scope.as_bytes()),
            bytes(claim.key.as_bytes()),
            optional(claim.fingerprint.map(StoredKey::as_bytes)),
        );
    } else {
        let _ = write!(sql, "; {begin}");
    }
    let _ = write!(sql, "SAVEPOINT {}", opening.fence.savepoint);
    sql
}

/// The server counts in whole seconds, from 0 on MariaDB, from 1 on MySQL.
pub(super) fn lock_wait(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    match seconds {
        0 => "IF(VERSION() LIKE '%MariaDB%', 0, 1)".into(),
        // The highest value that MariaDB takes.
        seconds => seconds.min(100_000_000).to_string(),
    }
}

pub(super) fn lookup_sql(sql: &mut String, claim: &Claim<'_>, in_transaction: bool) {
    if !in_transaction {
        // A session at READ UNCOMMITTED would take a claim that is still running for an unfinished one.
        let _ = write!(sql, "{READ_COMMITTED}; ");
    }
    let _ = write!(
        sql,
        "SELECT state, fingerprint, result_version, result FROM idem_keys WHERE scope = {} AND `key` = {}{}",
        bytes(claim.scope.as_bytes()),
        bytes(claim.key.as_bytes()),
        if in_transaction {
            // The transaction's snapshot may be older than the row that its claim met.
            " LOCK IN SHARE MODE"
        } else {
            END_READ
        },
    );
}

/// An event of an earlier execution, whose key was purged or deleted since, has the same ID. It stays as it is; with another
/// content the statement fails by a sum that is out of range in every SQL mode.
pub(super) const KEEP_EQUAL_EVENT: &str = "ON DUPLICATE KEY UPDATE idem_outbox.id = IF(\
    CAST(idem_outbox.topic AS BINARY) = CAST(VALUES(topic) AS BINARY) AND idem_outbox.`key` <=> VALUES(`key`) \
    AND CAST(idem_outbox.type AS BINARY) = CAST(VALUES(type) AS BINARY) AND idem_outbox.payload = VALUES(payload), \
    idem_outbox.id, CAST(~0 + LENGTH(idem_outbox.id) AS BINARY))";

pub(super) fn insert_events_sql(sql: &mut String, events: &[Row]) {
    sql.push_str(
        "; INSERT INTO idem_outbox (id, topic, `key`, type, payload, content_type, headers) VALUES ",
    );
    for (index, event) in events.iter().enumerate() {
        let _ = write!(
            sql,
            "{}({}, {}, {}, {}, {}, {}, {})",
            if index == 0 { "" } else { ", " },
            bytes(event.id.as_bytes()),
            text(event.topic),
            optional(event.key.as_deref().map(str::as_bytes)),
            text(event.kind),
            bytes(&event.payload),
            text(event.content_type),
            text(&event.headers),
        );
    }
    let _ = write!(sql, " {KEEP_EQUAL_EVENT}");
}

/// Ends the claim, and the batch with an error if there is none to end.
pub(super) fn end_claim_sql(sql: &mut String, claim: &Claim<'_>, finish: &FinishArgs<'_>) {
    let _ = write!(
        sql,
        "; UPDATE idem_keys SET state = {}, result = {}, result_version = {}, expires_at = {} \
         WHERE scope = {} AND `key` = {} AND state = 0; \
         SET @idem_ended = IF(ROW_COUNT() = 1, 1, (SELECT 1 UNION ALL SELECT 2))",
        finish.end.state() as u8,
        optional(finish.end.body()),
        finish.result_version,
        finish.retention.map_or_else(
            || "NULL".into(),
            |keep| format!(
                "UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND",
                keep.as_micros()
            )
        ),
        bytes(claim.scope.as_bytes()),
        bytes(claim.key.as_bytes()),
    );
}
