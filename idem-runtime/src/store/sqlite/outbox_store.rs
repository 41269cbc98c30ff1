//! The relay's statements.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row as _, Sqlite};
use sqlx_core::sql_str::SqlSafeStr as _;
use sqlx_core::transaction::TransactionManager as _;
use uuid::Uuid;

use super::Transactions;
use super::call::KEEP_EQUAL_EVENT;
use super::literal::{NOW, bytes, text};
use super::round_trip::{execute, fetch_all, fetch_last};
use crate::event::EventId;
use crate::store::outbox_store::{LEASE, list, time};
use crate::store::{
    DeadLetterFilter, DeadLetterRow, Lease, Limit, OutboxStore, Remaining, Settlement, Stored,
    TopicBacklog,
};

impl OutboxStore for Sqlite {
    async fn hold(conn: &mut SqliteConnection, lease: Lease) -> Result<bool, sqlx::Error> {
        let owner = bytes(lease.owner.as_bytes());
        // Reading needs no lock: relays that stand by keep out of the way of writers.
        let held_by_another = format!(
            "SELECT 1 FROM idem_relay WHERE name = '{LEASE}' AND owner <> {owner} AND expires_at > {NOW}"
        );
        if fetch_last(conn, held_by_another).await?.is_some() {
            return Ok(false);
        }
        let sql = format!(
            "INSERT INTO idem_relay (name, owner, expires_at) VALUES ('{LEASE}', {owner}, {until}) \
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at \
             WHERE owner = excluded.owner OR expires_at <= {NOW} RETURNING 1",
            until = after(lease.length),
        );
        Ok(fetch_last(conn, sql).await?.is_some())
    }

    async fn release(conn: &mut SqliteConnection, owner: Uuid) -> Result<(), sqlx::Error> {
        execute(
            conn,
            format!("DELETE FROM idem_relay WHERE {}", is_held_by(owner)),
        )
        .await
    }

    async fn pending(
        conn: &mut SqliteConnection,
        limit: Limit,
    ) -> Result<Vec<Stored>, sqlx::Error> {
        // The clock moves on from row to row of one statement. An event could come due between the
        // test of itself and that of its successor, which would then overtake it.
        let now = now(conn).await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM idem_outbox JOIN (\
               SELECT seq, sum(length(payload)) OVER (ORDER BY seq) - length(payload) AS before FROM (\
                 SELECT seq, payload FROM idem_outbox AS event \
                 WHERE published_at IS NULL AND (retry_at IS NULL OR retry_at <= {now}) \
                 AND NOT EXISTS (SELECT 1 FROM idem_outbox AS waiting \
                   WHERE waiting.key = event.key AND waiting.retry_at > {now}) \
                 ORDER BY seq LIMIT {}\
               )\
             ) USING (seq) WHERE before < {} ORDER BY seq",
            limit.events, limit.bytes,
        );
        fetch_all(conn, sql).await?.iter().map(stored).collect()
    }

    async fn remaining(conn: &mut SqliteConnection) -> Result<Remaining, sqlx::Error> {
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM idem_outbox WHERE published_at IS NULL), \
             (SELECT (min(retry_at) - {NOW} + 999) / 1000 FROM idem_outbox WHERE retry_at IS NOT NULL)"
        );
        let row = fetch_last(conn, sql)
            .await?
            .ok_or(sqlx::Error::RowNotFound)?;
        Ok(Remaining::of(row.try_get(0)?, row.try_get(1)?))
    }

    async fn settle(
        conn: &mut SqliteConnection,
        lease: Lease,
        settlement: &Settlement,
    ) -> Result<bool, sqlx::Error> {
        let held = whole(conn, settlement_sql(lease, settlement)).await?;
        held.map_or(Ok(false), |row| row.try_get(0))
    }

    async fn backlog(conn: &mut SqliteConnection) -> Result<Vec<TopicBacklog>, sqlx::Error> {
        let sql = format!(
            "SELECT topic, sum(pending), max(age), sum(dead) FROM (\
             SELECT topic, count(*) AS pending, {NOW} - min(created_at) AS age, 0 AS dead FROM idem_outbox \
               WHERE published_at IS NULL GROUP BY topic \
             UNION ALL SELECT topic, 0, NULL, count(*) FROM idem_dead_letters GROUP BY topic) GROUP BY topic"
        );
        let rows = fetch_all(conn, sql).await?;
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

    async fn count_buried(conn: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
        let row = fetch_last(conn, "SELECT count(*) FROM idem_dead_letters".into()).await?;
        row.map_or(Ok(0), |row| row.try_get::<i64, _>(0).map(i64::unsigned_abs))
    }

    async fn buried(
        conn: &mut SqliteConnection,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetterRow>, sqlx::Error> {
        let sql = format!(
            "SELECT {COLUMNS}, reason, died_at FROM idem_dead_letters \
             WHERE seq > {after} ORDER BY seq LIMIT {limit}"
        );
        fetch_all(conn, sql).await?.iter().map(buried).collect()
    }

    async fn requeue(
        conn: &mut SqliteConnection,
        filter: DeadLetterFilter<'_>,
        limit: u32,
    ) -> Result<u64, sqlx::Error> {
        // An event that was emitted again meanwhile is in the outbox already, and must be the same.
        let batch = format!(
            "seq IN (SELECT seq FROM idem_dead_letters AS letter WHERE {} AND NOT EXISTS (SELECT 1 FROM idem_outbox AS event \
               WHERE event.id = letter.id AND (event.topic <> letter.topic OR event.key IS NOT letter.key \
                 OR event.type <> letter.type OR event.payload <> letter.payload)) ORDER BY seq LIMIT {limit})",
            matches(filter),
        );
        let sql = format!(
            "INSERT INTO idem_outbox (seq, {EVENT}) SELECT seq, {EVENT} FROM idem_dead_letters \
             WHERE {batch} {KEEP_EQUAL_EVENT}; \
             DELETE FROM idem_dead_letters WHERE {batch}; SELECT changes()"
        );
        let moved = whole(conn, sql).await?;
        moved.map_or(Ok(0), |row| row.try_get::<i64, _>(0).map(i64::unsigned_abs))
    }
}

const EVENT: &str = "id, topic, key, type, payload, content_type, headers, created_at";

const COLUMNS: &str =
    "seq, id, topic, key, type, payload, content_type, headers, created_at, attempts";

async fn now(conn: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let row = fetch_last(conn, format!("SELECT {NOW}")).await?;
    row.ok_or(sqlx::Error::RowNotFound)?.try_get(0)
}

/// Runs a batch in a transaction: all of it, or none. The last row of it.
async fn whole(conn: &mut SqliteConnection, sql: String) -> Result<Option<SqliteRow>, sqlx::Error> {
    Transactions::begin(conn, Some("BEGIN IMMEDIATE".into_sql_str())).await?;
    let done = match fetch_last(conn, sql).await {
        Ok(row) => Transactions::commit(conn).await.map(|()| row),
        Err(error) => Err(error),
    };
    if done.is_err() {
        // A COMMIT that found a reader in its way leaves the transaction open.
        Transactions::rollback(conn).await?;
    }
    done
}

fn settlement_sql(lease: Lease, settlement: &Settlement) -> String {
    let held = format!(
        "(SELECT 1 FROM idem_relay WHERE {})",
        is_held_by(lease.owner)
    );
    let mut sql = format!(
        "UPDATE idem_relay SET expires_at = {} WHERE {}; ",
        after(lease.length),
        is_held_by(lease.owner),
    );
    if !settlement.published.is_empty() {
        let _ = write!(
            sql,
            "UPDATE idem_outbox SET published_at = {NOW}, retry_at = NULL \
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
        let event = format!(
            "seq = {} AND published_at IS NULL AND EXISTS {held}",
            burial.seq
        );
        let _ = write!(
            sql,
            "INSERT INTO idem_dead_letters (seq, {EVENT}, attempts, reason) \
             SELECT seq, {EVENT}, {}, {} FROM idem_outbox WHERE {event} \
             ON CONFLICT (id) DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason, died_at = {NOW}; \
             DELETE FROM idem_outbox WHERE {event}; ",
            burial.attempts,
            text(&burial.reason),
        );
    }
    let _ = write!(sql, "SELECT EXISTS {held}");
    sql
}

fn is_held_by(owner: Uuid) -> String {
    format!("name = '{LEASE}' AND owner = {}", bytes(owner.as_bytes()))
}

fn after(delay: Duration) -> String {
    format!("{NOW} + {}", delay.as_micros())
}

fn matches(filter: DeadLetterFilter<'_>) -> String {
    match filter {
        DeadLetterFilter::All => "TRUE".into(),
        DeadLetterFilter::Topic(topic) => format!("topic = {}", text(topic)),
        DeadLetterFilter::Events([]) => "FALSE".into(),
        DeadLetterFilter::Events(ids) => format!("id IN ({})", list(ids.iter().map(literal))),
    }
}

fn literal(id: &EventId) -> String {
    bytes(id.as_uuid().as_bytes())
}

fn stored(row: &SqliteRow) -> Result<Stored, sqlx::Error> {
    Ok(Stored {
        seq: row.try_get(0)?,
        id: Uuid::from_slice(row.try_get(1)?).map_err(|error| sqlx::Error::Decode(error.into()))?,
        topic: row.try_get(2)?,
        key: row.try_get(3)?,
        kind: row.try_get(4)?,
        payload: row.try_get(5)?,
        content_type: row.try_get(6)?,
        headers: row.try_get(7)?,
        created_at: time(row.try_get(8)?),
        attempts: row.try_get(9)?,
    })
}

fn buried(row: &SqliteRow) -> Result<DeadLetterRow, sqlx::Error> {
    Ok(DeadLetterRow {
        event: stored(row)?,
        reason: row.try_get(10)?,
        died_at: time(row.try_get(11)?),
    })
}
