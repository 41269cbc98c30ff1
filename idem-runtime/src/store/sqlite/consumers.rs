//! Attempts and dead letters of consumers.

use std::fmt::Write as _;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row as _, Sqlite};

use super::LONGEST_STATEMENT;
use super::inbox::{COLUMNS, kept, values, write_all};
use super::literal::{NOW, optional, text};
use super::round_trip::{execute, fetch_all};
use super::transaction::{begin, end};
use crate::store::Home;
use crate::store::consumer_store::{CONSUMER, ConsumerStore, Letter, LetterRow, NewAttempt, PROBE};
use crate::store::inbox_store::{PARKED, lane};
use crate::store::kept_message::MessageId;
use crate::store::outbox_store::{list, time};
use crate::store::verdict::fits;

impl ConsumerStore for Sqlite {
    async fn count_attempts(
        conn: &mut SqliteConnection,
        _: &Home,
        consumer: &str,
        attempts: &[NewAttempt],
    ) -> Result<Vec<u32>, sqlx::Error> {
        let mut sql = String::new();
        for attempt in attempts {
            let _ = write!(
                sql,
                "INSERT INTO idem_attempts (origin, name, source, id, attempts, last_error) \
                 VALUES ('{CONSUMER}', {}, {}, {}, 1, {}) ON CONFLICT DO UPDATE SET attempts = attempts + 1, \
                 last_error = coalesce(excluded.last_error, last_error), touched_at = {NOW} RETURNING attempts; ",
                text(consumer),
                text(&attempt.message.source),
                text(&attempt.message.id),
                attempt
                    .reason
                    .as_deref()
                    .map_or_else(|| "NULL".into(), text),
            );
        }
        begin(conn).await?;
        let counted = fetch_all(conn, sql).await;
        let rows = end(conn, counted).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    async fn forget_attempts(
        conn: &mut SqliteConnection,
        _: &Home,
        consumer: &str,
        done: &[MessageId],
        interrupted: &[MessageId],
    ) -> Result<(), sqlx::Error> {
        let mut sql = String::new();
        for message in done {
            let _ = write!(
                sql,
                "DELETE FROM idem_attempts WHERE {}; ",
                is(consumer, message)
            );
        }
        for message in interrupted {
            let _ = write!(
                sql,
                "UPDATE idem_attempts SET attempts = max(attempts - 1, 0) WHERE {}; ",
                is(consumer, message)
            );
        }
        write_all(conn, sql).await.map(drop)
    }

    async fn bury(
        conn: &mut SqliteConnection,
        _: &Home,
        consumer: &str,
        letter: &Letter,
    ) -> Result<(), sqlx::Error> {
        let sql = format!(
            "INSERT INTO idem_dead_letters (origin, name, {COLUMNS}, attempts, reason) VALUES ('{CONSUMER}', {}, {}, {}, {}) \
             ON CONFLICT (origin, name, source, id) DO UPDATE SET topic = excluded.topic, key = excluded.key, \
               type = excluded.type, payload = excluded.payload, content_type = excluded.content_type, \
               headers = excluded.headers, created_at = excluded.created_at, attempts = excluded.attempts, \
               reason = excluded.reason, died_at = {NOW}; \
             DELETE FROM idem_attempts WHERE {}",
            text(consumer),
            values(&letter.kept),
            letter.attempts,
            text(&letter.reason),
            is(consumer, &letter.kept.message),
        );
        fits(sql.len(), LONGEST_STATEMENT)?;
        write_all(conn, sql).await.map(drop)
    }

    async fn letters(
        conn: &mut SqliteConnection,
        _: &Home,
        consumer: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<LetterRow>, sqlx::Error> {
        let sql = format!(
            "SELECT number, attempts, reason, died_at, source, id, topic, key, type, payload, content_type, headers, created_at \
             FROM idem_dead_letters WHERE origin = '{CONSUMER}' AND name = {} AND number > {after} ORDER BY number LIMIT {limit}",
            text(consumer),
        );
        let rows = fetch_all(conn, sql).await?;
        rows.iter().map(letter).collect()
    }

    async fn replay(
        conn: &mut SqliteConnection,
        _: &Home,
        consumer: &str,
        numbers: &[i64],
    ) -> Result<u64, sqlx::Error> {
        begin(conn).await?;
        let done = replay_in(conn, consumer, numbers).await;
        end(conn, done).await
    }

    async fn probe(
        conn: &mut SqliteConnection,
        _: &Home,
        consumer: &str,
    ) -> Result<(), sqlx::Error> {
        let name = text(consumer);
        let sql = format!(
            "INSERT INTO idem_attempts (origin, name, source, id, attempts) VALUES ('{PROBE}', {name}, '', '', 0) \
             ON CONFLICT DO NOTHING; \
             DELETE FROM idem_attempts WHERE origin = '{PROBE}' AND name = {name}"
        );
        write_all(conn, sql).await.map(drop)
    }
}

/// What stands for a key is computed here: SQLite has no such hash.
async fn replay_in(
    conn: &mut SqliteConnection,
    consumer: &str,
    numbers: &[i64],
) -> Result<u64, sqlx::Error> {
    let name = text(consumer);
    let which = format!(
        "origin = '{CONSUMER}' AND name = {name} AND number IN ({})",
        list(numbers)
    );
    let ask = format!("SELECT number, key FROM idem_dead_letters WHERE {which} ORDER BY number");
    let rows = fetch_all(conn, ask).await?;
    let mut sql = String::new();
    for row in &rows {
        let (number, key): (i64, Option<Vec<u8>>) = (row.try_get(0)?, row.try_get(1)?);
        let lane = key.map(|key| lane(&String::from_utf8_lossy(&key)));
        // What is remembered of it as done would keep it out.
        let _ = write!(
            sql,
            "DELETE FROM idem_inbox WHERE origin = '{PARKED}' AND name = {name} AND done_at IS NOT NULL AND (source, id) = \
               (SELECT source, id FROM idem_dead_letters WHERE number = {number}); \
             INSERT INTO idem_inbox (origin, name, lane, {COLUMNS}) SELECT '{PARKED}', {name}, {}, {COLUMNS} \
             FROM idem_dead_letters WHERE number = {number} ON CONFLICT DO NOTHING; ",
            optional(lane.as_ref().map(<[u8; 16]>::as_slice)),
        );
    }
    let _ = write!(sql, "DELETE FROM idem_dead_letters WHERE {which}");
    execute(conn, sql).await?;
    Ok(rows.len() as u64)
}

fn letter(row: &SqliteRow) -> Result<LetterRow, sqlx::Error> {
    Ok(LetterRow {
        number: row.try_get(0)?,
        died_at: time(row.try_get(3)?),
        letter: Letter {
            attempts: row.try_get(1)?,
            reason: row.try_get(2)?,
            kept: kept(row, 4)?,
        },
    })
}

fn is(consumer: &str, message: &MessageId) -> String {
    format!(
        "origin = '{CONSUMER}' AND name = {} AND source = {} AND id = {}",
        text(consumer),
        text(&message.source),
        text(&message.id)
    )
}
