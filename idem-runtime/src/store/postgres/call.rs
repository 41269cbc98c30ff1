//! The statements of a call: its claim, its row, its events, its end.
//!
//! Everything goes through functions that are called by SELECT. `pg_stat_statements` keeps one
//! entry for all calls of such a statement and none of its values. It would keep both for each
//! CALL.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::literal::{array, bytes, bytes_array, name, optional, text};
use crate::key::StoredKey;
use crate::outbox::Row;
use crate::store::{BatchClaim, BeginArgs, Claim, EndedClaim, FinishArgs, Home, Opening};

/// In the simple protocol the two clocks differ exactly inside a transaction that an earlier
/// message began. With bound parameters they would always differ.
pub(super) const IN_TRANSACTION: &str =
    "pg_catalog.transaction_timestamp() <> pg_catalog.statement_timestamp()";

/// Whose transaction a call is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Transaction {
    /// The call's own, begun in the same round trip. A taken key is an error.
    Own,
    /// The caller's. A taken key is a row.
    Joined,
}

/// The claim and the fence.
pub(super) fn claim_sql(args: &BeginArgs<'_>, transaction: Transaction) -> String {
    let schema = name(&args.home.schema);
    let own = transaction == Transaction::Own;
    let home = text(&args.home.schema);
    let mut sql = match args.opening.claim() {
        Some(claim) => format!(
            "SELECT {schema}.idem_claim({own}, {home}, '{}', {}, {}, {}, {}, {}, {})",
            args.home.namespace,
            // Zero would be no bound at all.
            args.wait.as_millis().clamp(1, i32::MAX as u128),
            queue(claim),
            text(claim.scope),
            bytes(claim.key.as_bytes()),
            optional(claim.fingerprint.map(StoredKey::as_bytes)),
            args.retention
                .map_or_else(|| "NULL".into(), |keep| keep.as_millis().to_string()),
        ),
        None => format!("SELECT {schema}.idem_begin({own}, {home})"),
    };
    let fenced = match args.opening {
        Opening::Keyless => true,
        Opening::Claim(_) => args.fence.undoable,
        Opening::Batch => false,
    };
    if fenced {
        let _ = write!(sql, "; SAVEPOINT {}", args.fence.savepoint);
    }
    sql
}

/// The claims of a batch, and the fence. A row for each key that is known already.
pub(super) fn claim_batch_sql(args: &BatchClaim<'_>) -> String {
    let schema = name(&args.home.schema);
    let keys = args.claims.iter().map(|claim| Some(claim.key.as_bytes()));
    let fingerprints = args
        .claims
        .iter()
        .map(|claim| claim.fingerprint.map(StoredKey::as_bytes));
    // The first statement bounds the second: a timeout is read when a statement begins.
    let mut sql = format!(
        "SELECT {schema}.idem_wait_at_most({}); SELECT {schema}.idem_claim_batch({}, '{}', {}, {}, {}, {})",
        args.wait.as_millis().clamp(1, i32::MAX as u128),
        text(&args.home.schema),
        args.home.namespace,
        text(args.scope),
        bytes_array(keys),
        bytes_array(fingerprints),
        args.retention
            .map_or_else(|| "NULL".into(), |keep| keep.as_millis().to_string()),
    );
    if args.fence.undoable {
        let _ = write!(sql, "; SAVEPOINT {}", args.fence.savepoint);
    }
    sql
}

/// The advisory lock at which the calls of one key queue.
fn queue(claim: &Claim<'_>) -> i64 {
    let hash = Sha256::new()
        .chain_update(claim.scope)
        .chain_update([0])
        .chain_update(claim.key.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let (first, _) = digest.split_first_chunk().expect("32 bytes hold 8");
    i64::from_be_bytes(*first)
}

/// The stored row, and whether this was asked inside a transaction that an earlier message began.
pub(super) fn lookup_sql(home: &Home, claim: &Claim<'_>) -> String {
    format!(
        "SELECT {}.idem_find({}, {}), {IN_TRANSACTION}",
        name(&home.schema),
        text(claim.scope),
        bytes(claim.key.as_bytes()),
    )
}

/// The events and the end of the claim.
pub(super) fn finish_sql(args: &FinishArgs<'_>) -> String {
    let schema = name(&args.home.schema);
    let mut sql = String::new();
    match (args.events, args.ends) {
        ([event], [ended]) => {
            let _ = write!(sql, "SELECT {schema}.idem_emit_and_finish(");
            event_sql(&mut sql, event);
            sql.push_str(", ");
            end_sql(&mut sql, ended, args.result_version);
        }
        (events, ends) => {
            if !events.is_empty() {
                let _ = write!(sql, "SELECT {schema}.idem_emit(");
                events_sql(&mut sql, events);
                sql.push_str("); ");
            }
            match ends {
                [] => {}
                [ended] => {
                    let _ = write!(sql, "SELECT {schema}.idem_finish(");
                    end_sql(&mut sql, ended, args.result_version);
                }
                [first, ..] => {
                    let _ = write!(
                        sql,
                        "SELECT {schema}.idem_finish_batch({}, {}, {}, {}, {}, {}); ",
                        text(first.claim.scope),
                        bytes_array(ends.iter().map(|ended| Some(ended.claim.key.as_bytes()))),
                        array(
                            ends.iter()
                                .map(|ended| Some((ended.end.state() as u8).to_string().into()))
                        ),
                        bytes_array(ends.iter().map(|ended| ended.end.body())),
                        args.result_version,
                        args.shared,
                    );
                }
            }
        }
    }
    sql
}

/// The rest of a call that ends a claim.
fn end_sql(sql: &mut String, ended: &EndedClaim<'_>, result_version: u32) {
    let _ = write!(
        sql,
        "{}, {}, {}, {}, {result_version}); ",
        text(ended.claim.scope),
        bytes(ended.claim.key.as_bytes()),
        ended.end.state() as u8,
        optional(ended.end.body()),
    );
}

fn event_sql(sql: &mut String, event: &Row) {
    let _ = write!(
        sql,
        "'{}', '{}', {}, {}, {}, {}, {}, {}",
        event.id,
        event.shard,
        text(event.topic),
        event.key.as_deref().map_or_else(|| "NULL".into(), text),
        text(event.kind),
        bytes(&event.payload),
        text(event.content_type),
        text(&event.headers),
    );
}

/// Several events as one array for each column: one statement, however many there are.
fn events_sql(sql: &mut String, events: &[Row]) {
    let texts = |text: for<'a> fn(&'a Row) -> Option<Cow<'a, str>>| array(events.iter().map(text));
    let columns = [
        texts(|event| Some(event.id.to_string().into())),
        texts(|event| Some(event.shard.to_string().into())),
        texts(|event| Some(event.topic.into())),
        texts(|event| event.key.as_deref().map(Into::into)),
        texts(|event| Some(event.kind.into())),
        bytes_array(events.iter().map(|event| Some(&*event.payload))),
        texts(|event| Some(event.content_type.into())),
        texts(|event| Some((&*event.headers).into())),
    ];
    sql.push_str(&columns.join(", "));
}
