//! Dead letters, and what waits.

use sqlx::Row as _;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use uuid::Uuid;

use super::literal::bytes;
use super::round_trip::{END_READ, READ_COMMITTED, fetch_last};
use super::stored_row::{EVENT, columns, lossy, micros, stored};
use super::transaction::{BEGIN, run};
use crate::store::outbox_store::{RELAY, list as listed, time};
use crate::store::{DeadLetterFilter, DeadLetterRow, TopicBacklog};

pub(super) async fn backlog(conn: &mut MySqlConnection) -> Result<Vec<TopicBacklog>, sqlx::Error> {
    let sql = format!(
        "{READ_COMMITTED}; \
         SELECT CAST(topic AS BINARY), CAST(SUM(pending) AS SIGNED), MAX(age), CAST(SUM(dead) AS SIGNED) FROM (\
         SELECT topic, COUNT(*) AS pending, TIMESTAMPDIFF(MICROSECOND, MIN(created_at), UTC_TIMESTAMP(6)) AS age, 0 AS dead \
           FROM idem_outbox GROUP BY CAST(topic AS BINARY), topic \
         UNION ALL SELECT topic, 0, NULL, COUNT(*) FROM idem_dead_letters WHERE origin = '{RELAY}' \
           GROUP BY CAST(topic AS BINARY), topic\
         ) AS topics GROUP BY CAST(topic AS BINARY), topic{END_READ}"
    );
    let topic = |row: &MySqlRow| {
        Ok(TopicBacklog::new(
            lossy(row, 0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
        ))
    };
    let rows = run(conn, sql).await?;
    rows.iter().map(topic).collect()
}

pub(super) async fn count(conn: &mut MySqlConnection) -> Result<u64, sqlx::Error> {
    let sql = format!("SELECT COUNT(*) FROM idem_dead_letters WHERE origin = '{RELAY}'{END_READ}");
    let row = fetch_last(conn, sql).await?;
    row.map_or(Ok(0), |row| row.try_get::<i64, _>(0).map(i64::unsigned_abs))
}

pub(super) async fn list(
    conn: &mut MySqlConnection,
    after: i64,
    limit: u32,
) -> Result<Vec<DeadLetterRow>, sqlx::Error> {
    let sql = format!(
        "{READ_COMMITTED}; \
         SELECT number, name, attempts, CAST(reason AS BINARY), {}, id, {} FROM idem_dead_letters AS letter FORCE INDEX (PRIMARY) \
         WHERE origin = '{RELAY}' AND number > {after} ORDER BY number LIMIT {limit}{END_READ}",
        micros("died_at"),
        columns("letter"),
    );
    let rows = run(conn, sql).await?;
    rows.iter().map(dead_letter).collect()
}

/// Goes on past those that stay.
pub(super) async fn requeue(
    conn: &mut MySqlConnection,
    filter: DeadLetterFilter<'_>,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let (mut moved, mut after) = (0, i64::MIN);
    let mut begin = BEGIN;
    while moved < u64::from(limit) {
        let sql = format!(
            "{begin}SELECT number, id FROM idem_dead_letters WHERE origin = '{RELAY}' AND {} AND number > {after} \
             ORDER BY number LIMIT {} FOR UPDATE",
            matches(filter),
            u64::from(limit) - moved,
        );
        begin = "";
        let rows = run(conn, sql).await?;
        let Some(last) = rows.last() else { break };
        after = last.try_get(0)?;
        let letters: Vec<i64> = rows.iter().filter_map(number).collect();
        if let Some(row) = run(conn, requeue_sql(&letters)).await?.last() {
            moved += row.try_get::<i64, _>(0)?.unsigned_abs();
        }
    }
    run(conn, "COMMIT".into()).await?;
    Ok(moved)
}

/// The number of a letter. Somebody else may have given it an ID that is none.
fn number(row: &MySqlRow) -> Option<i64> {
    let id: &[u8] = row.try_get(1).ok()?;
    let parsed = Uuid::try_parse_ascii(id).ok()?;
    let number = row.try_get(0).ok()?;
    (parsed.to_string().as_bytes() == id).then_some(number)
}

/// An event that was emitted again meanwhile is in the outbox already. A letter goes where its event
/// is there with the same content.
fn requeue_sql(letters: &[i64]) -> String {
    if letters.is_empty() {
        return "SELECT 0".into();
    }
    let id = "UNHEX(REPLACE(CONVERT(letter.id USING utf8mb4), '-', ''))";
    let letters = listed(letters);
    format!(
        "INSERT INTO idem_outbox (id, {EVENT}) SELECT {id}, {EVENT} FROM idem_dead_letters AS letter \
         WHERE letter.number IN ({letters}) ORDER BY letter.number ON DUPLICATE KEY UPDATE idem_outbox.id = idem_outbox.id; \
         DELETE letter FROM idem_dead_letters AS letter STRAIGHT_JOIN idem_outbox AS event ON event.id = {id} \
         WHERE letter.number IN ({letters}) AND CAST(event.topic AS BINARY) = CAST(letter.topic AS BINARY) \
         AND event.`key` <=> letter.`key` AND CAST(event.type AS BINARY) = CAST(letter.type AS BINARY) \
         AND event.payload = letter.payload; \
         SELECT ROW_COUNT()",
    )
}

fn matches(filter: DeadLetterFilter<'_>) -> String {
    match filter {
        DeadLetterFilter::All => "TRUE".into(),
        DeadLetterFilter::Topic(topic) => {
            format!("CAST(topic AS BINARY) = {}", bytes(topic.as_bytes()))
        }
        DeadLetterFilter::Events([]) => "FALSE".into(),
        DeadLetterFilter::Events(ids) => {
            format!("id IN ({})", listed(ids.iter().map(|id| format!("'{id}'"))))
        }
    }
}

fn dead_letter(row: &MySqlRow) -> Result<DeadLetterRow, sqlx::Error> {
    let id = Uuid::try_parse_ascii(row.try_get(5)?);
    let died_at: Option<i64> = row.try_get(4)?;
    Ok(DeadLetterRow {
        number: row.try_get(0)?,
        name: lossy(row, 1)?,
        attempts: row.try_get::<i32, _>(2)?.unsigned_abs(),
        reason: lossy(row, 3)?,
        died_at: time(died_at.unwrap_or_default()),
        message: stored(row, id.unwrap_or(Uuid::nil()), 6)?.into_readable(),
    })
}
