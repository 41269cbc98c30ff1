//! The statements of a call: its claim, its row, its events, its end.

use std::fmt::Write as _;

use super::literal::{bytes, optional, text};
use crate::key::StoredKey;
use crate::outbox::Row;
use crate::store::{BeginArgs, Claim, FinishArgs};

/// How a claim says that its key is taken.
#[derive(Clone, Copy)]
pub(super) enum Taken {
    /// By an error.
    Raised,
    /// By a row.
    Told,
}

pub(super) fn opening_sql(opening: &BeginArgs<'_>, taken: Taken) -> String {
    let mut sql = String::new();
    if let Some(claim) = &opening.claim {
        let (procedure, answer) = match taken {
            Taken::Raised => ("idem_claim", ""),
            Taken::Told => ("idem_try_claim", ", NULL"),
        };
        let _ = write!(
            sql,
            "CALL {procedure}({}, {}, {}, {}{answer})",
            text(claim.scope),
            bytes(claim.key.as_bytes()),
            optional(claim.fingerprint.map(StoredKey::as_bytes)),
            // Zero would be no bound at all.
            opening.wait.as_millis().clamp(1, i32::MAX as u128),
        );
    }
    if opening.claim.is_none() || opening.fence.undoable {
        if !sql.is_empty() {
            sql.push_str("; ");
        }
        let _ = write!(sql, "SAVEPOINT {}", opening.fence.savepoint);
    }
    sql
}

pub(super) fn lookup_sql(claim: &Claim<'_>) -> String {
    format!(
        "CALL idem_find({}, {}, NULL)",
        text(claim.scope),
        bytes(claim.key.as_bytes()),
    )
}

/// The rest of a call that ends a claim.
pub(super) fn end_sql(sql: &mut String, claim: &Claim<'_>, finish: &FinishArgs<'_>) {
    let _ = write!(
        sql,
        "{}, {}, {}, {}, {}, {}); ",
        text(claim.scope),
        bytes(claim.key.as_bytes()),
        finish.end.state() as u8,
        optional(finish.end.body()),
        finish.result_version,
        finish
            .retention
            .map_or_else(|| "NULL".into(), |keep| keep.as_millis().to_string()),
    );
}

/// One event, as handlers mostly emit, by the procedure whose plan the session keeps; several in one statement.
///
/// An event of an earlier execution, whose key was purged or deleted since, has the same ID and stays as it is.
pub(super) fn emit_sql(sql: &mut String, events: &[Row]) {
    match events {
        [] => {}
        [event] => {
            sql.push_str("CALL idem_emit(");
            event_sql(sql, event);
            sql.push_str("); ");
        }
        [first, rest @ ..] => {
            sql.push_str(
                "INSERT INTO idem_outbox (id, topic, key, type, payload, content_type, headers) VALUES (",
            );
            event_sql(sql, first);
            for event in rest {
                sql.push_str("), (");
                event_sql(sql, event);
            }
            sql.push_str(") ON CONFLICT (id) DO NOTHING; ");
        }
    }
}

pub(super) fn event_sql(sql: &mut String, event: &Row) {
    let _ = write!(
        sql,
        "'{}', {}, {}, {}, {}, {}, {}",
        event.id,
        text(event.topic),
        event.key.as_deref().map_or_else(|| "NULL".into(), text),
        text(event.kind),
        bytes(&event.payload),
        text(event.content_type),
        text(&event.headers),
    );
}
