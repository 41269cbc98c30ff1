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

/// The claim and the fence in a transaction of the call's own.
pub(super) fn open_sql(args: &BeginArgs<'_>) -> String {
    // One SET for all: a batch costs the server time for each of its statements.
    let (set, claim) = claim_sql(args);
    // This fails, and touches nothing, inside every transaction. READ WRITE is the default.
    let next = args.isolation.map_or_else(
        || "READ WRITE".into(),
        |level| format!("ISOLATION LEVEL {}", level.name()),
    );
    format!(
        "SET TRANSACTION {next}; \
         SET @idem_autocommit = @@autocommit, autocommit = 0, {set}; START TRANSACTION; \
         {claim}SAVEPOINT {}",
        args.fence.savepoint
    )
}

/// The same in a transaction of the caller's.
pub(super) fn join_sql(args: &BeginArgs<'_>) -> String {
    let (set, claim) = claim_sql(args);
    format!("SET {set}; {claim}SAVEPOINT {}", args.fence.savepoint)
}

/// The settings of a claim, and the claim.
fn claim_sql(args: &BeginArgs<'_>) -> (String, String) {
    let wait = "@idem_wait = @@innodb_lock_wait_timeout";
    let Some(claim) = &args.claim else {
        return (wait.into(), String::new());
    };
    // Where the tables are another database's, the scope is NULL, which its column refuses.
    let insert = format!(
        "INSERT INTO idem_keys (scope, `key`, fingerprint, expires_at) VALUES (\
         IF((SELECT namespace FROM idem_schema) = {}, {}, NULL), {}, {}, {}); {RESTORE_WAIT}; ",
        bytes(args.home.namespace.as_bytes()),
        bytes(claim.scope.as_bytes()),
        bytes(claim.key.as_bytes()),
        optional(claim.fingerprint.map(StoredKey::as_bytes)),
        args.retention.map_or_else(
            || "NULL".into(),
            |keep| format!(
                "UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND",
                keep.as_micros()
            )
        ),
    );
    let wait = format!(
        "{wait}, innodb_lock_wait_timeout = {}",
        lock_wait(args.wait)
    );
    (wait, insert)
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
        // A session at READ UNCOMMITTED would take a claim that is still running for an unfinished
        // one.
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

/// An event of an earlier execution, whose key was purged or deleted since, has the same ID. It
/// stays as it is; with another content the statement fails by a sum that is out of range in every
/// SQL mode.
pub(super) const KEEP_EQUAL_EVENT: &str = "ON DUPLICATE KEY UPDATE idem_outbox.id = IF(\
    CAST(idem_outbox.topic AS BINARY) = CAST(VALUES(topic) AS BINARY) AND idem_outbox.`key` <=> VALUES(`key`) \
    AND CAST(idem_outbox.type AS BINARY) = CAST(VALUES(type) AS BINARY) AND idem_outbox.payload = VALUES(payload), \
    idem_outbox.id, CAST(~0 + LENGTH(idem_outbox.id) AS BINARY))";

pub(super) fn insert_events_sql(sql: &mut String, events: &[Row]) {
    sql.push_str(
        "; INSERT INTO idem_outbox (id, shard, topic, `key`, type, payload, content_type, headers) VALUES ",
    );
    for (index, event) in events.iter().enumerate() {
        let _ = write!(
            sql,
            "{}({}, {}, {}, {}, {}, {}, {}, {})",
            if index == 0 { "" } else { ", " },
            bytes(event.id.as_bytes()),
            event.shard,
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
pub(super) fn end_claim_sql(sql: &mut String, claim: &Claim<'_>, args: &FinishArgs<'_>) {
    let _ = write!(
        sql,
        "; UPDATE idem_keys SET state = {}, result = {}, result_version = {} \
         WHERE scope = {} AND `key` = {} AND state = 0; \
         SET @idem_ended = IF(ROW_COUNT() = 1, 1, (SELECT 1 UNION ALL SELECT 2))",
        args.end.state() as u8,
        optional(args.end.body()),
        args.result_version,
        bytes(claim.scope.as_bytes()),
        bytes(claim.key.as_bytes()),
    );
}
