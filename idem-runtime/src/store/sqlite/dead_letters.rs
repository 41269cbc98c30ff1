//! Dead letters, and what waits.

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::literal::{NOW, text};
use super::round_trip::{fetch_all, fetch_last};
use super::stored_row::{EVENT, stored, values};
use super::transaction::{begin, end};
use crate::store::outbox_store::{RELAY, list as listed, time};
use crate::store::{DeadLetterFilter, DeadLetterRow, Place, TopicBacklog};

pub(super) async fn backlog(conn: &mut SqliteConnection) -> Result<Vec<TopicBacklog>, sqlx::Error> {
    let sql = format!(
        "SELECT topic, sum(pending), max(age), sum(dead) FROM (\
         SELECT topic, count(*) AS pending, {NOW} - min(created_at) AS age, 0 AS dead FROM idem_outbox GROUP BY topic \
         UNION ALL SELECT topic, 0, NULL, count(*) FROM idem_dead_letters WHERE origin = '{RELAY}' GROUP BY topic) \
         GROUP BY topic"
    );
    let rows = fetch_all(conn, sql).await?;
    let topic = |row: &SqliteRow| {
        let topic: Vec<u8> = row.try_get(0)?;
        Ok(TopicBacklog::new(
            String::from_utf8_lossy(&topic).into_owned(),
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
        ))
    };
    rows.iter().map(topic).collect()
}

pub(super) async fn count(conn: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let sql = format!("SELECT count(*) FROM idem_dead_letters WHERE origin = '{RELAY}'");
    let row = fetch_last(conn, sql).await?;
    row.map_or(Ok(0), |row| row.try_get::<i64, _>(0).map(i64::unsigned_abs))
}

pub(super) async fn list(
    conn: &mut SqliteConnection,
    after: i64,
    limit: u32,
) -> Result<Vec<DeadLetterRow>, sqlx::Error> {
    let sql = format!(
        "SELECT number, name, attempts, reason, died_at, id, {EVENT} FROM idem_dead_letters \
         WHERE origin = '{RELAY}' AND number > {after} ORDER BY number LIMIT {limit}"
    );
    let rows = fetch_all(conn, sql).await?;
    rows.iter().map(dead_letter).collect()
}

pub(super) async fn requeue(
    conn: &mut SqliteConnection,
    filter: DeadLetterFilter<'_>,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    begin(conn).await?;
    let done = requeue_in(conn, filter, u64::from(limit)).await;
    end(conn, done).await
}

/// Goes on past those that stay.
async fn requeue_in(
    conn: &mut SqliteConnection,
    filter: DeadLetterFilter<'_>,
    limit: u64,
) -> Result<u64, sqlx::Error> {
    let (mut moved, mut after) = (0, i64::MIN);
    while moved < limit {
        let sql = format!(
            "SELECT number, id FROM idem_dead_letters WHERE origin = '{RELAY}' AND {} AND number > {after} \
             ORDER BY number LIMIT {}",
            matches(filter),
            limit - moved,
        );
        let rows = fetch_all(conn, sql).await?;
        let Some(last) = rows.last() else { break };
        after = last.try_get(0)?;
        let letters = rows.iter().filter_map(numbered).collect::<Vec<_>>();
        if !letters.is_empty() {
            moved += fetch_all(conn, requeue_sql(&letters)).await?.len() as u64;
        }
    }
    Ok(moved)
}

/// The number and the ID of a letter. Somebody else may have given it an ID that is none.
fn numbered(row: &SqliteRow) -> Option<Place> {
    Some(Place {
        seq: row.try_get(0).ok()?,
        id: row.try_get::<&str, _>(1).ok()?.parse().ok()?,
    })
}

/// An event that was emitted again meanwhile is in the outbox already. A letter goes where its event
/// is there with the same content.
fn requeue_sql(letters: &[Place]) -> String {
    format!(
        "WITH moved (number, id) AS (VALUES {letters}) \
         INSERT INTO idem_outbox (id, {EVENT}) \
         SELECT moved.id, {EVENT} FROM moved CROSS JOIN idem_dead_letters AS letter ON letter.number = moved.number \
         ORDER BY moved.number ON CONFLICT (id) DO NOTHING; \
         WITH moved (number, id) AS (VALUES {letters}) \
         DELETE FROM idem_dead_letters AS letter WHERE number IN (\
           SELECT same.number FROM moved CROSS JOIN idem_dead_letters AS same ON same.number = moved.number \
           CROSS JOIN idem_outbox AS event ON event.id = moved.id \
           WHERE event.topic = same.topic AND event.key IS same.key AND event.type = same.type \
           AND event.payload = same.payload) RETURNING 1",
        letters = values(letters),
    )
}

fn matches(filter: DeadLetterFilter<'_>) -> String {
    match filter {
        DeadLetterFilter::All => "TRUE".into(),
        DeadLetterFilter::Topic(topic) => format!("topic = {}", text(topic)),
        DeadLetterFilter::Events(ids) => {
            format!("id IN ({})", listed(ids.iter().map(|id| format!("'{id}'"))))
        }
    }
}

fn dead_letter(row: &SqliteRow) -> Result<DeadLetterRow, sqlx::Error> {
    let id = row.try_get::<&str, _>(5)?.parse();
    Ok(DeadLetterRow {
        number: row.try_get(0)?,
        name: row.try_get(1)?,
        attempts: row.try_get(2)?,
        reason: row.try_get(3)?,
        died_at: time(row.try_get(4)?),
        message: stored(row, id.unwrap_or(Uuid::nil()), 7)?.into_readable(),
    })
}
