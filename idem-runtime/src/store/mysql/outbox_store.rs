//! The relay's statements.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, MySql, Row as _, raw_sql};
use uuid::Uuid;

use super::call::KEEP_EQUAL_EVENT;
use super::literal::{bytes, text};
use super::round_trip::{END_READ, READ_COMMITTED, execute, fetch_last};
use crate::event::EventId;
use crate::store::outbox_store::{LEASE, list, time};
use crate::store::{
    DeadLetterFilter, DeadLetterRow, Lease, Limit, OutboxStore, Remaining, Settlement, Stored,
    TopicBacklog,
};

impl OutboxStore for MySql {
    async fn hold(conn: &mut MySqlConnection, lease: Lease) -> Result<bool, sqlx::Error> {
        // Assignments see those to their left: the owner changes while the old expiry is still
        // there.
        let sql = format!(
            "INSERT INTO idem_relay (name, owner, expires_at) VALUES ('{LEASE}', {owner}, {until}) \
             ON DUPLICATE KEY UPDATE owner = IF(expires_at <= UTC_TIMESTAMP(6), {owner}, owner), \
             expires_at = IF(owner = {owner}, {until}, expires_at); \
             SELECT COUNT(*) FROM idem_relay WHERE {}; COMMIT",
            is_held_by(lease.owner),
            owner = bytes(lease.owner.as_bytes()),
            until = after(lease.length),
        );
        let held = whole(conn, sql).await?.pop();
        held.map_or(Ok(false), |row| Ok(row.try_get::<i64, _>(0)? == 1))
    }

    async fn release(conn: &mut MySqlConnection, owner: Uuid) -> Result<(), sqlx::Error> {
        let sql = format!("DELETE FROM idem_relay WHERE {}; COMMIT", is_held_by(owner));
        whole(conn, sql).await.map(drop)
    }

    async fn pending(conn: &mut MySqlConnection, limit: Limit) -> Result<Vec<Stored>, sqlx::Error> {
        // A session at READ UNCOMMITTED would see events whose transaction rolls back later.
        let sql = format!(
            "{READ_COMMITTED}; \
             SELECT {}, event.attempts FROM idem_outbox AS event JOIN (\
               SELECT seq, SUM(LENGTH(payload)) OVER (ORDER BY seq) - LENGTH(payload) AS before_it FROM (\
                 SELECT candidate.seq, candidate.payload FROM idem_outbox AS candidate LEFT JOIN (\
                   SELECT DISTINCT `key` FROM idem_outbox WHERE retry_at > UTC_TIMESTAMP(6) AND `key` IS NOT NULL\
                 ) AS waiting ON waiting.`key` = candidate.`key` \
                 WHERE candidate.published_at IS NULL AND waiting.`key` IS NULL \
                 AND (candidate.retry_at IS NULL OR candidate.retry_at <= UTC_TIMESTAMP(6)) \
                 ORDER BY candidate.seq LIMIT {}\
               ) AS oldest\
             ) AS batch ON batch.seq = event.seq WHERE before_it < {} ORDER BY event.seq{END_READ}",
            columns("event."),
            limit.events,
            limit.bytes,
        );
        let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await?;
        rows.iter().map(stored).collect()
    }

    async fn remaining(conn: &mut MySqlConnection) -> Result<Remaining, sqlx::Error> {
        let sql = format!(
            "{READ_COMMITTED}; \
             SELECT EXISTS (SELECT 1 FROM idem_outbox WHERE published_at IS NULL), \
             (SELECT CEIL(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), MIN(retry_at)) / 1000) \
              FROM idem_outbox WHERE retry_at IS NOT NULL) + 0e0{END_READ}"
        );
        let row = fetch_last(conn, sql)
            .await?
            .ok_or(sqlx::Error::RowNotFound)?;
        #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds")]
        let first_retry = row.try_get::<Option<f64>, _>(1)?.map(|ms| ms as i64);
        Ok(Remaining::of(row.try_get::<i64, _>(0)? == 1, first_retry))
    }

    async fn settle(
        conn: &mut MySqlConnection,
        lease: Lease,
        settlement: &Settlement,
    ) -> Result<bool, sqlx::Error> {
        let sql = settlement_sql(lease, settlement);
        let held = whole(conn, sql).await?.pop();
        held.map_or(Ok(false), |row| Ok(row.try_get::<i64, _>(0)? == 1))
    }

    async fn backlog(conn: &mut MySqlConnection) -> Result<Vec<TopicBacklog>, sqlx::Error> {
        let sql = format!(
            "{READ_COMMITTED}; \
             SELECT topic, CAST(SUM(pending) AS SIGNED), MAX(age), CAST(SUM(dead) AS SIGNED) FROM (\
             SELECT topic, count(*) AS pending, TIMESTAMPDIFF(MICROSECOND, MIN(created_at), UTC_TIMESTAMP(6)) AS age, 0 AS dead FROM idem_outbox \
               WHERE published_at IS NULL GROUP BY topic \
             UNION ALL SELECT topic, 0, NULL, count(*) FROM idem_dead_letters GROUP BY topic) AS topics GROUP BY topic{END_READ}"
        );
        let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await?;
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

    async fn count_buried(conn: &mut MySqlConnection) -> Result<u64, sqlx::Error> {
        let sql = format!("SELECT COUNT(*) FROM idem_dead_letters{END_READ}");
        let row = fetch_last(conn, sql)
            .await?
            .ok_or(sqlx::Error::RowNotFound)?;
        row.try_get::<i64, _>(0).map(i64::unsigned_abs)
    }

    async fn buried(
        conn: &mut MySqlConnection,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetterRow>, sqlx::Error> {
        let sql = format!(
            "SELECT {}, attempts, reason, {} FROM idem_dead_letters \
             WHERE seq > {after} ORDER BY seq LIMIT {limit}{END_READ}",
            columns(""),
            micros("died_at"),
        );
        let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(conn).await?;
        rows.iter().map(buried).collect()
    }

    async fn requeue(
        conn: &mut MySqlConnection,
        filter: DeadLetterFilter<'_>,
        limit: u32,
    ) -> Result<u64, sqlx::Error> {
        // The rows are locked from here on: one that dies meanwhile is not among them.
        let sql = format!(
            "{READ_COMMITTED}; START TRANSACTION; \
             SELECT seq FROM idem_dead_letters AS letter WHERE {} AND NOT EXISTS (SELECT 1 FROM idem_outbox AS event \
               WHERE event.id = letter.id AND NOT (CAST(event.topic AS BINARY) = CAST(letter.topic AS BINARY) \
                 AND event.`key` <=> letter.`key` AND CAST(event.type AS BINARY) = CAST(letter.type AS BINARY) \
                 AND event.payload = letter.payload)) ORDER BY seq LIMIT {limit} FOR UPDATE",
            matches(filter),
        );
        let rows = whole(conn, sql).await?;
        let batch: Vec<i64> = rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        let mut sql = String::from("COMMIT");
        if !batch.is_empty() {
            // An event that was emitted again meanwhile is in the outbox already, and must be the
            // same.
            sql = format!(
                "INSERT INTO idem_outbox (seq, {EVENT}) SELECT seq, {EVENT} FROM idem_dead_letters AS letter \
                 WHERE seq IN ({batch}) {KEEP_EQUAL_EVENT}; \
                 DELETE FROM idem_dead_letters WHERE seq IN ({batch}); COMMIT",
                batch = list(&batch),
            );
        }
        whole(conn, sql).await?;
        Ok(batch.len() as u64)
    }
}

const EVENT: &str = "id, topic, `key`, type, payload, content_type, headers, created_at";

fn columns(of: &str) -> String {
    format!(
        "{of}seq, {of}id, {of}topic, {of}`key`, {of}type, {of}payload, {of}content_type, {of}headers, {}",
        micros(&format!("{of}created_at")),
    )
}

/// Runs a batch that opens or commits a transaction, as each statement does in a session whose
/// autocommit is off. If the server refuses, the transaction is rolled back.
async fn whole(conn: &mut MySqlConnection, sql: String) -> Result<Vec<MySqlRow>, sqlx::Error> {
    match raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *conn).await {
        Err(error) if error.as_database_error().is_some() => {
            // Reported as what it is, and not as what became of the rollback.
            execute(conn, "ROLLBACK".into())
                .await
                .map_err(|_| sqlx::Error::WorkerCrashed)?;
            Err(error)
        }
        result => result,
    }
}

/// The first statement locks the row of the lease, so that no other relay can take it before
/// COMMIT.
fn settlement_sql(lease: Lease, settlement: &Settlement) -> String {
    let held = format!(
        "(SELECT 1 FROM idem_relay WHERE {})",
        is_held_by(lease.owner)
    );
    let mut sql = format!(
        "{READ_COMMITTED}; START TRANSACTION; UPDATE idem_relay SET expires_at = {} WHERE {}; ",
        after(lease.length),
        is_held_by(lease.owner),
    );
    if !settlement.published.is_empty() {
        let _ = write!(
            sql,
            "UPDATE idem_outbox SET published_at = UTC_TIMESTAMP(6), retry_at = NULL \
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
             SELECT seq, {EVENT}, {attempts}, {reason} FROM idem_outbox WHERE {event} FOR UPDATE \
             ON DUPLICATE KEY UPDATE attempts = {attempts}, reason = {reason}, died_at = UTC_TIMESTAMP(6); \
             DELETE FROM idem_outbox WHERE {event}; ",
            attempts = burial.attempts,
            reason = text(&burial.reason),
        );
    }
    let _ = write!(
        sql,
        "SET @idem_held = EXISTS {held}; COMMIT; SELECT @idem_held + 0"
    );
    sql
}

fn is_held_by(owner: Uuid) -> String {
    format!("name = '{LEASE}' AND owner = {}", bytes(owner.as_bytes()))
}

fn after(delay: Duration) -> String {
    format!(
        "UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND",
        delay.as_micros()
    )
}

/// Microseconds since 1970, whatever the session's time zone.
fn micros(column: &str) -> String {
    format!("TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {column})")
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

fn stored(row: &MySqlRow) -> Result<Stored, sqlx::Error> {
    let id: Vec<u8> = row.try_get(1)?;
    Ok(Stored {
        seq: row.try_get(0)?,
        id: Uuid::from_slice(&id).map_err(|error| sqlx::Error::Decode(error.into()))?,
        topic: row.try_get(2)?,
        key: row
            .try_get::<Option<Vec<u8>>, _>(3)?
            .map(|key| String::from_utf8_lossy(&key).into_owned()),
        kind: row.try_get(4)?,
        payload: row.try_get(5)?,
        content_type: row.try_get(6)?,
        headers: row.try_get(7)?,
        created_at: time(row.try_get(8)?),
        attempts: row.try_get::<i32, _>(9)?.unsigned_abs(),
    })
}

fn buried(row: &MySqlRow) -> Result<DeadLetterRow, sqlx::Error> {
    Ok(DeadLetterRow {
        event: stored(row)?,
        reason: row.try_get(10)?,
        died_at: time(row.try_get(11)?),
    })
}
