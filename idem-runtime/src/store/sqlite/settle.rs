//! Writes down how events ended.

use std::fmt::Write as _;

use sqlx::sqlite::SqliteConnection;

use super::literal::{NOW, bytes, text};
use super::round_trip::{execute, fetch_last};
use super::stored_row::EVENT;
use super::transaction::{begin, end};
use crate::store::Settlement;
use crate::store::outbox_store::{RELAY, list};

pub(super) async fn settle(
    conn: &mut SqliteConnection,
    settlement: &Settlement<'_>,
) -> Result<bool, sqlx::Error> {
    begin(conn).await?;
    let done = settle_in(conn, settlement).await;
    end(conn, done).await
}

/// Nobody else writes until this transaction ends, so who owns a shard owns it until then.
async fn settle_in(
    conn: &mut SqliteConnection,
    settlement: &Settlement<'_>,
) -> Result<bool, sqlx::Error> {
    let shards = settlement.shards();
    let mut is_owner = true;
    if !shards.is_empty() {
        let ask = format!(
            "SELECT 1 FROM idem_relays WHERE owner = {} AND target = {} AND shards & {shards} = {shards}",
            bytes(settlement.owner.as_bytes()),
            text(settlement.target),
            shards = shards.bits(),
        );
        is_owner = fetch_last(conn, ask).await?.is_some();
    }
    let mut sql = String::new();
    published_sql(&mut sql, settlement);
    if is_owner {
        failed_sql(&mut sql, settlement);
        dead_sql(&mut sql, settlement);
    }
    if !sql.is_empty() {
        execute(conn, sql).await?;
    }
    Ok(is_owner)
}

fn published_sql(sql: &mut String, settlement: &Settlement<'_>) {
    if !settlement.published.is_empty() {
        let places = settlement.published.iter();
        // The + keeps the rows from being looked up by their IDs.
        let _ = write!(
            sql,
            "DELETE FROM idem_outbox WHERE seq IN ({}) AND +id IN ({}); ",
            list(places.clone().map(|place| place.seq)),
            list(places.map(|place| bytes(place.id.as_bytes()))),
        );
    }
    let recovered = settlement.recovered.iter();
    forget_sql(sql, settlement.target, recovered.map(ToString::to_string));
}

fn failed_sql(sql: &mut String, settlement: &Settlement<'_>) {
    for attempt in settlement.failed {
        let _ = write!(
            sql,
            "INSERT INTO idem_attempts (origin, name, source, id, attempts, retry_at, last_error) \
             VALUES ('{RELAY}', {}, '', '{}', {}, {NOW} + {}, {}) ON CONFLICT DO UPDATE SET \
             attempts = excluded.attempts, retry_at = excluded.retry_at, last_error = excluded.last_error, touched_at = {NOW}; ",
            text(settlement.target),
            attempt.place.id,
            attempt.attempts,
            attempt.delay.as_micros(),
            text(&attempt.reason),
        );
    }
}

/// An event with the same ID may have died before, and was emitted again since.
fn dead_sql(sql: &mut String, settlement: &Settlement<'_>) {
    for letter in settlement.dead {
        let event = format!(
            "seq = {} AND +id = {}",
            letter.place.seq,
            bytes(letter.place.id.as_bytes()),
        );
        let _ = write!(
            sql,
            "INSERT INTO idem_dead_letters (origin, name, source, id, {EVENT}, attempts, reason) \
             SELECT '{RELAY}', {}, '', '{}', {EVENT}, {}, {} FROM idem_outbox WHERE {event} \
             ON CONFLICT (origin, name, source, id) DO UPDATE SET shard = excluded.shard, topic = excluded.topic, \
             key = excluded.key, type = excluded.type, payload = excluded.payload, content_type = excluded.content_type, \
             headers = excluded.headers, created_at = excluded.created_at, attempts = excluded.attempts, \
             reason = excluded.reason, died_at = {NOW}; \
             DELETE FROM idem_outbox WHERE {event}; ",
            text(settlement.target),
            letter.place.id,
            letter.attempts,
            text(&letter.reason),
        );
    }
    let dead = settlement.dead.iter();
    forget_sql(
        sql,
        settlement.target,
        dead.map(|letter| letter.place.id.to_string()),
    );
}

fn forget_sql(sql: &mut String, target: &str, ids: impl ExactSizeIterator<Item = String>) {
    if ids.len() > 0 {
        let _ = write!(
            sql,
            "DELETE FROM idem_attempts WHERE origin = '{RELAY}' AND name = {} AND source = '' AND id IN ({}); ",
            text(target),
            list(ids.map(|id| format!("'{id}'"))),
        );
    }
}
