//! The statements of a call: its claim, its row, its events, its end.

use std::fmt::Write as _;
use std::time::Duration;

use uuid::Uuid;

use super::literal::{bytes, optional, text};
use super::round_trip::{END_READ, READ_COMMITTED};
use crate::key::StoredKey;
use crate::outbox::Row;
use crate::store::{BatchClaim, BeginArgs, Claim, FinishArgs, Opening};

pub(super) const RESTORE_AUTOCOMMIT: &str = "SET autocommit = @idem_autocommit";
pub(super) const RESTORE_WAIT: &str = "SET innodb_lock_wait_timeout = @idem_wait";

/// The claim and the fence in a transaction of the call's own.
pub(super) fn open_sql(args: &BeginArgs<'_>) -> String {
    // One SET for all: a batch costs the server time for each of its statements.
    let (set, claim) = claim_sql(args);
    // This fails, and touches nothing, inside every transaction. READ WRITE is the default.
    let next = match (args.isolation, args.opening) {
        (Some(level), _) => format!("ISOLATION LEVEL {}", level.name()),
        // At REPEATABLE READ the claims of two batches lock gaps, and meet in deadlocks.
        (None, Opening::Batch) => "ISOLATION LEVEL READ COMMITTED".into(),
        (None, _) => "READ WRITE".into(),
    };
    let mut sql = format!(
        "SET TRANSACTION {next}; \
         SET @idem_autocommit = @@autocommit, autocommit = 0, {set}; START TRANSACTION"
    );
    if !matches!(args.opening, Opening::Batch) {
        let _ = write!(sql, "; {claim}SAVEPOINT {}", args.fence.savepoint);
    }
    sql
}

/// The same in a transaction of the caller's.
pub(super) fn join_sql(args: &BeginArgs<'_>) -> String {
    let (set, claim) = claim_sql(args);
    format!("SET {set}; {claim}SAVEPOINT {}", args.fence.savepoint)
}

/// The claims of a batch, and the fence; then a row for each of its keys, in their order.
///
/// `owner` is nobody else's. It stands where the result will be, and tells which rows are new.
pub(super) fn claim_batch_sql(args: &BatchClaim<'_>, owner: Uuid) -> String {
    let (scope, owner) = (bytes(args.scope.as_bytes()), bytes(owner.as_bytes()));
    let expires_at = expires_at(args.retention);
    let mut sql = format!(
        "SET @idem_wait = @@innodb_lock_wait_timeout, innodb_lock_wait_timeout = {}; \
         INSERT INTO idem_keys (scope, `key`, fingerprint, expires_at, result) VALUES ",
        lock_wait(args.wait)
    );
    for (index, claim) in args.claims.iter().enumerate() {
        let _ = write!(
            sql,
            "{}({scope}, {}, {}, {expires_at}, {owner})",
            if index == 0 { "" } else { ", " },
            bytes(claim.key.as_bytes()),
            optional(claim.fingerprint.map(StoredKey::as_bytes)),
        );
    }
    let keys = args.claims.iter().map(|claim| bytes(claim.key.as_bytes()));
    let _ = write!(
        sql,
        " ON DUPLICATE KEY UPDATE scope = idem_keys.scope; {RESTORE_WAIT}; SAVEPOINT {}; \
         SELECT state, fingerprint, result_version, result, (SELECT namespace FROM idem_schema) FROM idem_keys \
         WHERE scope = {scope} AND `key` IN ({}) ORDER BY `key` LOCK IN SHARE MODE",
        args.fence.savepoint,
        keys.collect::<Vec<_>>().join(", "),
    );
    sql
}

fn expires_at(retention: Option<Duration>) -> String {
    retention.map_or_else(
        || "NULL".into(),
        |keep| {
            format!(
                "UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND",
                keep.as_micros()
            )
        },
    )
}

/// The settings of a claim, and the claim.
fn claim_sql(args: &BeginArgs<'_>) -> (String, String) {
    let wait = "@idem_wait = @@innodb_lock_wait_timeout";
    let Some(claim) = args.opening.claim() else {
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
        expires_at(args.retention),
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

/// Ends the claims, and the statements with an error if one is not there to end.
pub(super) fn end_claims_sql(sql: &mut String, args: &FinishArgs<'_>) {
    let version = args.result_version;
    match args.ends {
        [] => return,
        [ended] => {
            let _ = write!(
                sql,
                "; UPDATE idem_keys SET state = {}, result = {}, result_version = {version} \
                 WHERE scope = {} AND `key` = {} AND state = 0",
                ended.end.state() as u8,
                optional(ended.end.body()),
                bytes(ended.claim.scope.as_bytes()),
                bytes(ended.claim.key.as_bytes()),
            );
        }
        // One statement that changes each of many rows in its own way.
        ends => {
            sql.push_str("; INSERT INTO idem_keys (scope, `key`, state, result) VALUES ");
            for (index, ended) in ends.iter().enumerate() {
                let _ = write!(
                    sql,
                    "{}({}, {}, {}, {})",
                    if index == 0 { "" } else { ", " },
                    bytes(ended.claim.scope.as_bytes()),
                    bytes(ended.claim.key.as_bytes()),
                    ended.end.state() as u8,
                    optional(ended.end.body()),
                );
            }
            let _ = write!(
                sql,
                " ON DUPLICATE KEY UPDATE result = IF(idem_keys.state = 0, VALUES(result), idem_keys.result), \
                 result_version = IF(idem_keys.state = 0, {version}, result_version), \
                 state = IF(idem_keys.state = 0, VALUES(state), idem_keys.state)"
            );
        }
    }
    // An update of a row that is there counts twice where it was written as an insert.
    let changed = match args.ends.len() {
        1 => 1,
        many => many * 2,
    };
    let _ = write!(
        sql,
        "; SET @idem_ended = IF(ROW_COUNT() = {changed}, 1, (SELECT 1 UNION ALL SELECT 2))"
    );
}
