//! Attempts and dead letters of consumers.

use std::fmt::Write as _;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Row as _, Sqlite};

use super::LONGEST_STATEMENT;
use super::literal::{NOW, bytes, text};
use super::round_trip::{execute, fetch_all};
use super::transaction::{begin, end};
use crate::store::Home;
use crate::store::consumer_store::{CONSUMER, ConsumerStore, Letter, MessageId, NewAttempt, PROBE};
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
        write_all(conn, sql).await
    }

    async fn bury(
        conn: &mut SqliteConnection,
        _: &Home,
        consumer: &str,
        letter: &Letter,
    ) -> Result<(), sqlx::Error> {
        let sql = format!(
            "INSERT INTO idem_dead_letters \
               (origin, name, source, id, topic, key, type, payload, content_type, headers, created_at, attempts, reason) \
             VALUES ('{CONSUMER}', {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}) \
             ON CONFLICT (origin, name, source, id) DO UPDATE SET topic = excluded.topic, key = excluded.key, \
               type = excluded.type, payload = excluded.payload, content_type = excluded.content_type, \
               headers = excluded.headers, created_at = excluded.created_at, attempts = excluded.attempts, \
               reason = excluded.reason, died_at = {NOW}; \
             DELETE FROM idem_attempts WHERE {}",
            text(consumer),
            text(&letter.message.source),
            text(&letter.message.id),
            text(&letter.topic),
            letter.key.as_deref().map_or_else(|| "NULL".into(), text),
            text(&letter.kind),
            bytes(&letter.payload),
            text(&letter.content_type),
            text(&letter.headers_json()),
            letter.micros(),
            letter.attempts,
            text(&letter.reason),
            is(consumer, &letter.message),
        );
        fits(sql.len(), LONGEST_STATEMENT)?;
        write_all(conn, sql).await
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
        write_all(conn, sql).await
    }
}

/// All of it, or nothing.
async fn write_all(conn: &mut SqliteConnection, sql: String) -> Result<(), sqlx::Error> {
    begin(conn).await?;
    let done = execute(conn, sql).await;
    end(conn, done).await
}

fn is(consumer: &str, message: &MessageId) -> String {
    format!(
        "origin = '{CONSUMER}' AND name = {} AND source = {} AND id = {}",
        text(consumer),
        text(&message.source),
        text(&message.id)
    )
}
