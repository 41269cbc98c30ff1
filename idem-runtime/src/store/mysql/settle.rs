//! Writes down how events ended.

use sqlx::mysql::MySqlConnection;

use super::literal::{bytes, text};
use super::round_trip::SURELY_FITS;
use super::stored_row::EVENT;
use super::transaction::{BEGIN, run};
use crate::store::Settlement;
use crate::store::outbox_store::{RELAY, list};

/// How many rows one statement deletes, and how many it writes, each with a text: it must fit into
/// what every server takes.
const DELETED: usize = 1_000;
const WRITTEN: usize = 16;

/// One round trip, unless there are attempts to write, or very much.
pub(super) async fn settle(
    conn: &mut MySqlConnection,
    settlement: &Settlement<'_>,
) -> Result<bool, sqlx::Error> {
    let mut batch = BEGIN.to_owned();
    let mut is_owner = true;
    if !settlement.shards().is_empty() {
        // The row stays locked until COMMIT, so nobody can take the shards before.
        batch.push_str(&owner_sql(settlement));
        is_owner = !run(conn, std::mem::take(&mut batch)).await?.is_empty();
    }
    let mut statements = published_sql(settlement);
    if is_owner {
        failed_sql(&mut statements, settlement);
        dead_sql(&mut statements, settlement);
    }
    for statement in statements {
        if batch.len() + statement.len() > SURELY_FITS {
            run(conn, std::mem::take(&mut batch)).await?;
        }
        batch.push_str(&statement);
        batch.push_str("; ");
    }
    batch.push_str("COMMIT");
    run(conn, batch).await?;
    Ok(is_owner)
}

fn owner_sql(settlement: &Settlement<'_>) -> String {
    format!(
        "SELECT 1 FROM idem_relays WHERE owner = {} AND target = {} AND shards & {shards} = {shards} FOR UPDATE",
        bytes(settlement.owner.as_bytes()),
        bytes(settlement.target.as_bytes()),
        shards = settlement.shards().bits().cast_unsigned(),
    )
}

fn published_sql(settlement: &Settlement<'_>) -> Vec<String> {
    let mut statements = Vec::new();
    for places in settlement.published.chunks(DELETED) {
        // By the primary key alone: what is found on the way is locked, and handlers have locked
        // what they emitted. CASE keeps the rows from being looked up by their IDs.
        statements.push(format!(
            "DELETE event FROM idem_outbox AS event FORCE INDEX (PRIMARY) \
             WHERE event.seq IN ({}) AND CASE WHEN event.id IN ({}) THEN TRUE END",
            list(places.iter().map(|place| place.seq)),
            list(places.iter().map(|place| bytes(place.id.as_bytes()))),
        ));
    }
    for ids in settlement.recovered.chunks(DELETED) {
        let ids = ids.iter().map(ToString::to_string);
        statements.push(forget_sql(settlement.target, ids));
    }
    statements
}

fn failed_sql(statements: &mut Vec<String>, settlement: &Settlement<'_>) {
    let name = bytes(settlement.target.as_bytes());
    for failed in settlement.failed.chunks(WRITTEN) {
        let rows = failed.iter().map(|attempt| {
            format!(
                "('{RELAY}', {name}, '', '{}', {}, UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND, {})",
                attempt.place.id,
                attempt.attempts,
                attempt.delay.as_micros(),
                text(&attempt.reason),
            )
        });
        statements.push(format!(
            "INSERT INTO idem_attempts (origin, name, source, id, attempts, retry_at, last_error) VALUES {} \
             ON DUPLICATE KEY UPDATE attempts = VALUES(attempts), retry_at = VALUES(retry_at), \
             last_error = VALUES(last_error), touched_at = UTC_TIMESTAMP(6)",
            list(rows)
        ));
    }
}

/// An event with the same ID may have died before, and was emitted again since.
fn dead_sql(statements: &mut Vec<String>, settlement: &Settlement<'_>) {
    let name = bytes(settlement.target.as_bytes());
    for letter in settlement.dead {
        let event = format!(
            "seq = {} AND id = {}",
            letter.place.seq,
            bytes(letter.place.id.as_bytes())
        );
        statements.push(format!(
            "INSERT INTO idem_dead_letters (origin, name, source, id, {EVENT}, attempts, reason) \
             SELECT '{RELAY}', {name}, '', '{}', {EVENT}, {}, {} FROM idem_outbox WHERE {event} FOR UPDATE \
             ON DUPLICATE KEY UPDATE shard = VALUES(shard), topic = VALUES(topic), `key` = VALUES(`key`), \
             type = VALUES(type), payload = VALUES(payload), content_type = VALUES(content_type), \
             headers = VALUES(headers), created_at = VALUES(created_at), attempts = VALUES(attempts), \
             reason = VALUES(reason), died_at = UTC_TIMESTAMP(6)",
            letter.place.id,
            letter.attempts,
            text(&letter.reason),
        ));
        statements.push(format!("DELETE FROM idem_outbox WHERE {event}"));
    }
    for dead in settlement.dead.chunks(DELETED) {
        let ids = dead.iter().map(|letter| letter.place.id.to_string());
        statements.push(forget_sql(settlement.target, ids));
    }
}

fn forget_sql(target: &str, ids: impl Iterator<Item = String>) -> String {
    format!(
        "DELETE FROM idem_attempts WHERE origin = '{RELAY}' AND name = {} AND source = '' AND id IN ({})",
        bytes(target.as_bytes()),
        list(ids.map(|id| format!("'{id}'"))),
    )
}
