//! The statements of a call: its claim, its row, its events, its end.

use std::fmt::Write as _;

use super::literal::{NOW, bytes, optional, text};
use crate::key::StoredKey;
use crate::outbox::Row;
use crate::store::{BeginArgs, Claim, FinishArgs};

/// The claim and the fence.
pub(super) fn claim_sql(args: &BeginArgs<'_>) -> String {
    let mut sql = String::new();
    if let Some(claim) = &args.claim {
        // Where the tables are another database's, the scope is NULL, which its column refuses.
        let _ = write!(
            sql,
            "INSERT INTO idem_keys (scope, key, fingerprint, expires_at) VALUES (\
             CASE WHEN (SELECT namespace FROM idem_schema) = {} THEN {} END, {}, {}, {}); ",
            bytes(args.home.namespace.as_bytes()),
            text(claim.scope),
            bytes(claim.key.as_bytes()),
            optional(claim.fingerprint.map(StoredKey::as_bytes)),
            args.retention.map_or_else(
                || "NULL".into(),
                |keep| format!("{NOW} + {}", keep.as_micros())
            ),
        );
    }
    let _ = write!(sql, "SAVEPOINT {}", args.fence.savepoint);
    sql
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

/// Ends the claim; returns a row if there was one to end.
pub(super) fn end_claim_sql(sql: &mut String, claim: &Claim<'_>, args: &FinishArgs<'_>) {
    let _ = write!(
        sql,
        "; UPDATE idem_keys SET state = {}, result = {}, result_version = {} \
         WHERE {} AND state = 0 RETURNING 1",
        args.end.state() as u8,
        optional(args.end.body()),
        args.result_version,
        is_claim(claim),
    );
}
