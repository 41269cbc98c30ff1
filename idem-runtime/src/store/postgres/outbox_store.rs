//! The relay's statements.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Postgres, Row as _, raw_sql};
use uuid::Uuid;

use super::literal::text;
use super::round_trip::fetch_last;
use crate::event::EventId;
use crate::store::outbox_store::{LEASE, list, time};
use crate::store::{
    DeadLetterFilter, DeadLetterRow, Lease, Limit, OutboxStore, Remaining, Settlement, Stored,
    TopicBacklog,
};

impl OutboxStore for Postgres {
    async fn hold(conn: &mut PgConnection, lease: Lease) -> Result<bool, sqlx::Error> {
        // The first condition spares a relay that stands by a write each time it asks.
        let sql = format!(
            "INSERT INTO idem_relay (name, owner, expires_at) \
             SELECT '{LEASE}', '{owner}', {until} WHERE NOT EXISTS (SELECT FROM idem_relay \
             WHERE name = '{LEASE}' AND owner <> '{owner}' AND expires_at > clock_timestamp()) \
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires_at = {until} \
             WHERE idem_relay.owner = excluded.owner OR idem_relay.expires_at <= clock_timestamp()",
            owner = lease.owner,
            until = after(lease.length),
        );
        let held = raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
        Ok(held.rows_affected() == 1)
    }

    async fn release(conn: &mut PgConnection, owner: Uuid) -> Result<(), sqlx::Error> {
        let sql = format!("DELETE FROM idem_relay WHERE {}", is_held_by(owner));
        raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
    }

    async fn pending(conn: &mut PgConnection, limit: Limit) -> Result<Vec<Stored>, sqlx::Error> {
        // statement_timestamp() is one for all rows. With a clock that moves on, an event could
        // come due between the test of itself and that of its successor, which would then overtake
        // it.
        let sql = format!(
            "SELECT {COLUMNS}, attempts FROM idem_outbox JOIN (\
               SELECT seq, sum(octet_length(payload)) OVER (ORDER BY seq) - octet_length(payload) AS before FROM (\
                 SELECT seq, payload FROM idem_outbox AS event \
                 WHERE published_at IS NULL AND (retry_at IS NULL OR retry_at <= statement_timestamp()) \
                 AND NOT EXISTS (SELECT FROM idem_outbox AS waiting \
                   WHERE waiting.key = event.key AND waiting.retry_at > statement_timestamp()) \
                 ORDER BY seq LIMIT {}\
               ) AS oldest\
             ) AS batch USING (seq) WHERE before < {} ORDER BY seq",
            limit.events, limit.bytes,
        );
        let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await?;
        rows.iter().map(stored).collect()
    }

    async fn remaining(conn: &mut PgConnection) -> Result<Remaining, sqlx::Error> {
        let sql = "SELECT EXISTS (SELECT FROM idem_outbox WHERE published_at IS NULL), \
                   ceil(extract(epoch FROM min(retry_at) - statement_timestamp()) * 1000)::bigint \
                   FROM idem_outbox WHERE retry_at IS NOT NULL";
        let row = raw_sql(sql).fetch_one(conn).await?;
        Ok(Remaining::of(row.try_get(0)?, row.try_get(1)?))
    }

    async fn settle(
        conn: &mut PgConnection,
        lease: Lease,
        settlement: &Settlement,
    ) -> Result<bool, sqlx::Error> {
        let sql = settlement_sql(lease, settlement);
        let held = fetch_last(conn, sql).await?;
        held.map_or(Ok(false), |row| row.try_get(0))
    }

    async fn backlog(conn: &mut PgConnection) -> Result<Vec<TopicBacklog>, sqlx::Error> {
        let sql = "SELECT topic, sum(pending)::bigint, max(age), sum(dead)::bigint FROM (\
             SELECT topic, count(*) AS pending, (extract(epoch FROM statement_timestamp() - min(created_at)) * 1000000)::bigint AS age, 0 AS dead FROM idem_outbox \
               WHERE published_at IS NULL GROUP BY topic \
             UNION ALL SELECT topic, 0, NULL, count(*) FROM idem_dead_letters GROUP BY topic) AS topics GROUP BY topic";
        let rows = raw_sql(sql).fetch_all(conn).await?;
        rows.iter()
            .map(|row| {
                Ok(TopicBacklog::new(
                    row.try_get(0)?,
                    row.try_get(1)?,
                    row.try_get(2)?,
                    row.try_get(3)?,
                ))
            })
            .collect()
    }

    async fn count_buried(conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
        let row = raw_sql("SELECT count(*) FROM idem_dead_letters")
            .fetch_one(conn)
            .await?;
        row.try_get::<i64, _>(0).map(i64::unsigned_abs)
    }

    async fn buried(
        conn: &mut PgConnection,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetterRow>, sqlx::Error> {
        let sql = format!(
            "SELECT {COLUMNS}, attempts, reason, {} FROM idem_dead_letters \
             WHERE seq > {after} ORDER BY seq LIMIT {limit}",
            micros("died_at"),
        );
        let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await?;
        rows.iter().map(buried).collect()
    }

    async fn requeue(
        conn: &mut PgConnection,
        filter: DeadLetterFilter<'_>,
        limit: u32,
    ) -> Result<u64, sqlx::Error> {
        // An event that was emitted again meanwhile is in the outbox already, and must be the same.
        // One that commits between the two looks, and differs, fails the statement by a NULL that
        // the column refuses.
        let sql = format!(
            "WITH requeued AS (DELETE FROM idem_dead_letters WHERE seq IN (SELECT seq FROM idem_dead_letters AS letter \
               WHERE {} AND NOT EXISTS (SELECT FROM idem_outbox AS event WHERE event.id = letter.id \
                 AND (event.topic, event.key, event.type, event.payload) IS DISTINCT FROM (letter.topic, letter.key, letter.type, letter.payload)) \
               ORDER BY seq LIMIT {limit} FOR UPDATE) RETURNING seq, {EVENT}), \
             pending AS (INSERT INTO idem_outbox (seq, {EVENT}) OVERRIDING SYSTEM VALUE \
               SELECT seq, {EVENT} FROM requeued ON CONFLICT (id) DO UPDATE SET id = NULL \
               WHERE (idem_outbox.topic, idem_outbox.key, idem_outbox.type, idem_outbox.payload) \
                 IS DISTINCT FROM (excluded.topic, excluded.key, excluded.type, excluded.payload)) \
             SELECT count(*) FROM requeued",
            matches(filter),
        );
        let row = raw_sql(AssertSqlSafe(sql)).fetch_one(conn).await?;
        row.try_get::<i64, _>(0).map(i64::unsigned_abs)
    }
}

const EVENT: &str = "id, topic, key, type, payload, content_type, headers, created_at";

/// Every value as text that no setting of the session changes.
const COLUMNS: &str = "seq, id::text, topic, key, type, encode(payload, 'hex'), content_type, headers, \
                       (extract(epoch FROM created_at) * 1000000)::bigint";

/// The statements run in one implicit transaction. The first one locks the row of the lease, so
/// that no other relay can take it before the last one has run.
fn settlement_sql(lease: Lease, settlement: &Settlement) -> String {
    let held = format!("(SELECT FROM idem_relay WHERE {})", is_held_by(lease.owner));
    let mut sql = format!(
        "UPDATE idem_relay SET expires_at = {} WHERE {}; ",
        after(lease.length),
        is_held_by(lease.owner),
    );
    if !settlement.published.is_empty() {
        let _ = write!(
            sql,
            "UPDATE idem_outbox SET published_at = clock_timestamp(), retry_at = NULL \
             WHERE seq IN ({}) AND published_at IS NULL AND EXISTS {held}; ",
            list(&settlement.published),
        );
    }
    for retry in &settlement.retries {
        let _ = write!(
            sql,
            "UPDATE idem_outbox SET attempts = {attempts}, retry_at = {}, last_error = {} \
             WHERE seq = {} AND attempts = {attempts} - 1 AND published_at IS NULL AND EXISTS {held}; ",
            after(retry.delay),
            text(&retry.reason),
            retry.seq,
            attempts = retry.attempts,
        );
    }
    for burial in &settlement.dead {
        let _ = write!(
            sql,
            "WITH given_up AS (DELETE FROM idem_outbox WHERE seq = {} AND published_at IS NULL AND EXISTS {held} \
               RETURNING seq, {EVENT}) \
             INSERT INTO idem_dead_letters (seq, {EVENT}, attempts, reason) \
             SELECT seq, {EVENT}, {attempts}, {reason} FROM given_up ON CONFLICT (id) DO UPDATE SET \
             attempts = excluded.attempts, reason = excluded.reason, died_at = clock_timestamp(); ",
            burial.seq,
            attempts = burial.attempts,
            reason = text(&burial.reason),
        );
    }
    let _ = write!(sql, "SELECT EXISTS {held}");
    sql
}

fn is_held_by(owner: Uuid) -> String {
    format!("name = '{LEASE}' AND owner = '{owner}'")
}

fn after(delay: Duration) -> String {
    format!(
        "clock_timestamp() + {} * interval '1 microsecond'",
        delay.as_micros()
    )
}

fn micros(column: &str) -> String {
    format!("(extract(epoch FROM {column}) * 1000000)::bigint")
}

fn matches(filter: DeadLetterFilter<'_>) -> String {
    match filter {
        DeadLetterFilter::All => "true".into(),
        DeadLetterFilter::Topic(topic) => format!("topic = {}", text(topic)),
        DeadLetterFilter::Events([]) => "false".into(),
        DeadLetterFilter::Events(ids) => format!("id IN ({})", list(ids.iter().map(quoted))),
    }
}

fn quoted(id: &EventId) -> String {
    format!("'{id}'")
}

fn stored(row: &PgRow) -> Result<Stored, sqlx::Error> {
    let decode = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
    Ok(Stored {
        seq: row.try_get(0)?,
        id: row
            .try_get::<&str, _>(1)?
            .parse()
            .map_err(|error: uuid::Error| decode(error.into()))?,
        topic: row.try_get(2)?,
        key: row.try_get(3)?,
        kind: row.try_get(4)?,
        payload: hex::decode(row.try_get::<&str, _>(5)?).map_err(|error| decode(error.into()))?,
        content_type: row.try_get(6)?,
        headers: row.try_get(7)?,
        created_at: time(row.try_get(8)?),
        attempts: row.try_get::<i32, _>(9)?.unsigned_abs(),
    })
}

fn buried(row: &PgRow) -> Result<DeadLetterRow, sqlx::Error> {
    Ok(DeadLetterRow {
        event: stored(row)?,
        reason: row.try_get(10)?,
        died_at: time(row.try_get(11)?),
    })
}
