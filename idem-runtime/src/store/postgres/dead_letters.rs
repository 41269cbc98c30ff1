//! Dead letters, and what waits.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, raw_sql};
use uuid::Uuid;

use super::literal::text;
use super::round_trip::{BY_INDEX, fetch_all, fetch_last};
use super::stored_row::{EVENT, columns, micros, plain, stored, table, time, unnested};
use crate::store::outbox_store::{RELAY, time as system_time};
use crate::store::{DeadLetterFilter, DeadLetterRow, Home, Place, TopicBacklog};

pub(super) async fn backlog(
    conn: &mut PgConnection,
    home: &Home,
) -> Result<Vec<TopicBacklog>, sqlx::Error> {
    // An infinite time, or one so far away that its age is no number, has no age.
    let oldest =
        "min(created_at) FILTER (WHERE created_at > '-infinity' AND created_at < '200000-01-01')";
    let sql = format!(
        "SELECT topic, sum(pending)::bigint, max(age), sum(dead)::bigint FROM (\
         SELECT topic, count(*) AS pending, (extract(epoch FROM statement_timestamp() - {oldest}) * 1000000)::bigint AS age, \
           0 AS dead FROM {} GROUP BY topic \
         UNION ALL SELECT topic, 0, NULL, count(*) FROM {} WHERE origin = '{RELAY}' GROUP BY topic) AS topics GROUP BY topic",
        table(home, "idem_outbox"),
        table(home, "idem_dead_letters"),
    );
    let topic = |row: &PgRow| {
        Ok(TopicBacklog::new(
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
        ))
    };
    let rows = fetch_all(conn, sql).await?;
    rows.iter().map(topic).collect()
}

pub(super) async fn count(conn: &mut PgConnection, home: &Home) -> Result<u64, sqlx::Error> {
    let sql = format!(
        "SELECT count(*) FROM {} WHERE origin = '{RELAY}'",
        table(home, "idem_dead_letters")
    );
    let row = fetch_last(conn, sql).await?;
    row.map_or(Ok(0), |row| row.try_get::<i64, _>(0).map(i64::unsigned_abs))
}

pub(super) async fn list(
    conn: &mut PgConnection,
    home: &Home,
    after: i64,
    limit: u32,
) -> Result<Vec<DeadLetterRow>, sqlx::Error> {
    let sql = format!(
        "{BY_INDEX}\
         SELECT number, name, attempts, reason, {}, {} FROM {} AS letter \
         WHERE origin = '{RELAY}' AND number > '{after}'::bigint ORDER BY number LIMIT {limit}",
        micros("died_at"),
        columns("letter", str::to_owned),
        table(home, "idem_dead_letters"),
    );
    let rows = fetch_all(conn, sql).await?;
    rows.iter().map(dead_letter).collect()
}

/// Goes on past those that stay.
pub(super) async fn requeue(
    conn: &mut PgConnection,
    home: &Home,
    filter: DeadLetterFilter<'_>,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let mut tx = conn
        .begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")
        .await?;
    let (mut moved, mut after) = (0, i64::MIN);
    while moved < u64::from(limit) {
        // This gives the transaction its ID, before its events get their numbers.
        let sql = format!(
            "{BY_INDEX}SELECT number, id FROM {} WHERE origin = '{RELAY}' AND {} AND number > '{after}'::bigint \
             ORDER BY number LIMIT {} FOR UPDATE",
            table(home, "idem_dead_letters"),
            matches(filter),
            u64::from(limit) - moved,
        );
        let rows = fetch_all(&mut tx, sql).await?;
        let Some(last) = rows.last() else { break };
        after = last.try_get(0)?;
        let letters: Vec<Place> = rows.iter().filter_map(numbered).collect();
        let sql = requeue_sql(home, &letters);
        let requeued = raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *tx).await?;
        moved += requeued.len() as u64;
    }
    tx.commit().await?;
    Ok(moved)
}

/// The number and the ID of a letter. Somebody else may have given it an ID that is none.
fn numbered(row: &PgRow) -> Option<Place> {
    Some(Place {
        seq: row.try_get(0).ok()?,
        id: row.try_get::<&str, _>(1).ok()?.parse().ok()?,
    })
}

/// An event that was emitted again meanwhile is in the outbox already. A letter goes where its event
/// is there with the same content.
fn requeue_sql(home: &Home, letters: &[Place]) -> String {
    let moved = format!("{} AS moved (number, id)", unnested(letters.iter()));
    let outbox = table(home, "idem_outbox");
    let dead_letters = table(home, "idem_dead_letters");
    format!(
        "INSERT INTO {outbox} (id, {EVENT}) SELECT moved.id, {EVENT} \
         FROM {moved} JOIN {dead_letters} AS letter USING (number) ORDER BY number ON CONFLICT (id) DO NOTHING; \
         DELETE FROM {dead_letters} AS letter USING {moved}, {outbox} AS event \
         WHERE letter.number = moved.number AND event.id = moved.id \
         AND (event.topic, event.key, event.type, event.payload) \
           IS NOT DISTINCT FROM (letter.topic, letter.key, letter.type, letter.payload) RETURNING 1",
    )
}

fn matches(filter: DeadLetterFilter<'_>) -> String {
    match filter {
        DeadLetterFilter::All => "true".into(),
        DeadLetterFilter::Topic(topic) => format!("topic = {}", text(topic)),
        DeadLetterFilter::Events(ids) => format!("id = ANY ({}::text[])", plain(ids)),
    }
}

fn dead_letter(row: &PgRow) -> Result<DeadLetterRow, sqlx::Error> {
    let id = row.try_get::<&str, _>(5)?.parse();
    Ok(DeadLetterRow {
        number: row.try_get(0)?,
        name: row.try_get(1)?,
        attempts: row.try_get::<i32, _>(2)?.unsigned_abs(),
        reason: row.try_get(3)?,
        died_at: system_time(time(row, 4)?.unwrap_or_default()),
        message: stored(row, id.unwrap_or(Uuid::nil()), 7)?.into_readable(),
    })
}
