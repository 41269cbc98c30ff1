//! The statements of a call: its claim, its row, its events, its end.

use std::fmt::Write as _;
use std::time::Duration;

use super::literal::{NOW, bytes, optional, text};
use crate::key::StoredKey;
use crate::outbox::Row;
use crate::store::{BatchClaim, BeginArgs, Claim, FinishArgs, Opening};

/// The claim and the fence.
pub(super) fn claim_sql(args: &BeginArgs<'_>) -> String {
    let mut sql = String::new();
    if let Some(claim) = args.opening.claim() {
        // Where the tables are another database's, the scope is NULL, which its column refuses.
        let _ = write!(
            sql,
            "INSERT INTO idem_keys (scope, key, fingerprint, expires_at) VALUES (\
             CASE WHEN (SELECT namespace FROM idem_schema) = {} THEN {} END, {}, {}, {}); ",
            bytes(args.home.namespace.as_bytes()),
            text(claim.scope),
            bytes(claim.key.as_bytes()),
            optional(claim.fingerprint.map(StoredKey::as_bytes)),
            expires_at(args.retention),
        );
    }
    if !matches!(args.opening, Opening::Batch) {
        let _ = write!(sql, "SAVEPOINT {}", args.fence.savepoint);
    }
    sql
}

fn expires_at(retention: Option<Duration>) -> String {
    retention.map_or_else(
        || "NULL".into(),
        |keep| format!("{NOW} + {}", keep.as_micros()),
    )
}

/// The claims of a batch; a row for each key that was free.
pub(super) fn claim_batch_sql(args: &BatchClaim<'_>) -> String {
    let mut sql =
        String::from("INSERT INTO idem_keys (scope, key, fingerprint, expires_at) VALUES ");
    let (scope, expires_at) = (text(args.scope), expires_at(args.retention));
    for (index, claim) in args.claims.iter().enumerate() {
        if index == 0 {
            // As for one claim. The first row speaks for all.
            let _ = write!(
                sql,
                "(CASE WHEN (SELECT namespace FROM idem_schema) = {} THEN {scope} END",
                bytes(args.home.namespace.as_bytes()),
            );
        } else {
            let _ = write!(sql, ", ({scope}");
        }
        let _ = write!(
            sql,
            ", {}, {}, {expires_at})",
            bytes(claim.key.as_bytes()),
            optional(claim.fingerprint.map(StoredKey::as_bytes)),
        );
    }
    let _ = write!(
        sql,
        " ON CONFLICT (scope, key) DO NOTHING RETURNING key; SAVEPOINT {}",
        args.fence.savepoint
    );
    sql
}

/// The rows of these keys.
pub(super) fn known_sql<'a>(scope: &str, keys: impl Iterator<Item = &'a StoredKey>) -> String {
    let keys: Vec<_> = keys.map(|key| bytes(key.as_bytes())).collect();
    format!(
        "SELECT state, fingerprint, result_version, result, key FROM idem_keys WHERE scope = {} AND key IN ({})",
        text(scope),
        keys.join(", ")
    )
}

pub(super) fn is_claim(claim: &Claim<'_>) -> String {
    format!(
        "scope = {} AND key = {}",
        text(claim.scope),
        bytes(claim.key.as_bytes())
    )
}

/// An event of an earlier execution, whose key was purged or deleted since, has the same ID. It
/// stays as it is; with another content the statement fails by a NULL that the column refuses.
pub(super) const KEEP_EQUAL_EVENT: &str = "ON CONFLICT (id) DO UPDATE SET id = NULL WHERE topic <> excluded.topic \
    OR key IS NOT excluded.key OR type <> excluded.type OR payload <> excluded.payload";

pub(super) fn insert_events_sql(sql: &mut String, events: &[Row]) {
    sql.push_str(
        "; INSERT INTO idem_outbox (id, shard, topic, key, type, payload, content_type, headers) VALUES ",
    );
    for (index, event) in events.iter().enumerate() {
        let _ = write!(
            sql,
            "{}({}, {}, {}, {}, {}, {}, {}, {})",
            if index == 0 { "" } else { ", " },
            bytes(event.id.as_bytes()),
            event.shard,
            text(event.topic),
            event.key.as_deref().map_or_else(|| "NULL".into(), text),
            text(event.kind),
            bytes(&event.payload),
            text(event.content_type),
            text(&event.headers),
        );
    }
    let _ = write!(sql, " {KEEP_EQUAL_EVENT}");
}

/// Ends the claims; returns a row for each that there was to end.
pub(super) fn end_claims_sql(sql: &mut String, args: &FinishArgs<'_>) {
    let version = args.result_version;
    match args.ends {
        [] => {}
        [ended] => {
            let _ = write!(
                sql,
                "; UPDATE idem_keys SET state = {}, result = {}, result_version = {version} \
                 WHERE {} AND state = 0 RETURNING 1",
                ended.end.state() as u8,
                optional(ended.end.body()),
                is_claim(&ended.claim),
            );
        }
        [first, ..] => {
            sql.push_str("; WITH ended (key, state, result) AS (VALUES ");
            for (index, ended) in args.ends.iter().enumerate() {
                let _ = write!(
                    sql,
                    "{}({}, {}, {})",
                    if index == 0 { "" } else { ", " },
                    bytes(ended.claim.key.as_bytes()),
                    ended.end.state() as u8,
                    optional(ended.end.body()),
                );
            }
            let _ = write!(
                sql,
                ") UPDATE idem_keys SET state = ended.state, result = ended.result, result_version = {version} \
                 FROM ended WHERE idem_keys.scope = {} AND idem_keys.key = ended.key AND idem_keys.state = 0 \
                 RETURNING 1",
                text(first.claim.scope),
            );
        }
    }
}
