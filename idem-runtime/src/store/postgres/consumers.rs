//! Attempts and dead letters of consumers.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Postgres, Row as _};

use super::LONGEST_STATEMENT;
use super::inbox::{COLUMNS, ids, kept, values};
use super::literal::{array, text};
use super::round_trip::{BY_INDEX, fetch_all, fetch_last};
use super::stored_row::{micros, plain, table, time};
use crate::store::Home;
use crate::store::consumer_store::{CONSUMER, ConsumerStore, Letter, LetterRow, NewAttempt, PROBE};
use crate::store::inbox_store::PARKED;
use crate::store::kept_message::MessageId;
use crate::store::outbox_store::time as system_time;
use crate::store::verdict::fits;

impl ConsumerStore for Postgres {
    async fn count_attempts(
        conn: &mut PgConnection,
        home: &Home,
        consumer: &str,
        attempts: &[NewAttempt],
    ) -> Result<Vec<u32>, sqlx::Error> {
        let reasons = attempts.iter().map(|attempt| attempt.reason.as_deref());
        // The order keeps consumers that count the same messages from a deadlock.
        let sql = format!(
            "{BY_INDEX}\
             INSERT INTO {} AS known (origin, name, source, id, attempts, last_error) \
             SELECT '{CONSUMER}', {}, source, id, 1, reason \
             FROM ROWS FROM ({}, unnest({}::text[])) AS attempt (source, id, reason) ORDER BY source, id \
             ON CONFLICT (origin, name, source, id) DO UPDATE SET attempts = known.attempts + 1, \
               last_error = coalesce(excluded.last_error, known.last_error), touched_at = clock_timestamp() \
             RETURNING source, id, attempts",
            table(home, "idem_attempts"),
            text(consumer),
            ids(attempts.iter().map(|attempt| &attempt.message)),
            array(reasons.map(|reason| reason.map(Into::into))),
        );
        let rows = fetch_all(conn, sql).await?;
        let mut counts = vec![1; attempts.len()];
        for row in &rows {
            let (source, id): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
            let counted = attempts
                .iter()
                .position(|attempt| attempt.message.source == source && attempt.message.id == id);
            if let Some(place) = counted {
                counts[place] = row.try_get::<i32, _>(2)?.unsigned_abs();
            }
        }
        Ok(counts)
    }

    async fn forget_attempts(
        conn: &mut PgConnection,
        home: &Home,
        consumer: &str,
        done: &[MessageId],
        interrupted: &[MessageId],
    ) -> Result<(), sqlx::Error> {
        let (attempts, name) = (table(home, "idem_attempts"), text(consumer));
        let sql = format!(
            "{BY_INDEX}\
             DELETE FROM {attempts} AS known USING {} AS done (source, id) \
             WHERE origin = '{CONSUMER}' AND name = {name} AND known.source = done.source AND known.id = done.id; \
             UPDATE {attempts} AS known SET attempts = greatest(attempts - 1, 0) FROM {} AS interrupted (source, id) \
             WHERE origin = '{CONSUMER}' AND name = {name} AND known.source = interrupted.source AND known.id = interrupted.id",
            ids(done.iter()),
            ids(interrupted.iter()),
        );
        fetch_last(conn, sql).await.map(drop)
    }

    async fn bury(
        conn: &mut PgConnection,
        home: &Home,
        consumer: &str,
        letter: &Letter,
    ) -> Result<(), sqlx::Error> {
        let name = text(consumer);
        let sql = format!(
            "{BY_INDEX}\
             INSERT INTO {} (origin, name, {COLUMNS}, attempts, reason) VALUES ('{CONSUMER}', {name}, {}, {}, {}) \
             ON CONFLICT (origin, name, source, id) DO UPDATE SET topic = excluded.topic, key = excluded.key, \
               type = excluded.type, payload = excluded.payload, content_type = excluded.content_type, \
               headers = excluded.headers, created_at = excluded.created_at, attempts = excluded.attempts, \
               reason = excluded.reason, died_at = clock_timestamp(); \
             DELETE FROM {} WHERE origin = '{CONSUMER}' AND name = {name} AND source = {} AND id = {}",
            table(home, "idem_dead_letters"),
            values(&letter.kept),
            letter.attempts,
            text(&letter.reason),
            table(home, "idem_attempts"),
            text(&letter.kept.message.source),
            text(&letter.kept.message.id),
        );
        fits(sql.len(), LONGEST_STATEMENT)?;
        fetch_last(conn, sql).await.map(drop)
    }

    async fn letters(
        conn: &mut PgConnection,
        home: &Home,
        consumer: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<LetterRow>, sqlx::Error> {
        let sql = format!(
            "{BY_INDEX}\
             SELECT number, attempts, reason, {}, source, id, topic, key, type, encode(payload, 'hex'), content_type, headers, {} \
             FROM {} WHERE origin = '{CONSUMER}' AND name = {} AND number > '{after}'::bigint ORDER BY number LIMIT {limit}",
            micros("died_at"),
            micros("created_at"),
            table(home, "idem_dead_letters"),
            text(consumer),
        );
        let rows = fetch_all(conn, sql).await?;
        rows.iter().map(letter).collect()
    }

    async fn replay(
        conn: &mut PgConnection,
        home: &Home,
        consumer: &str,
        numbers: &[i64],
    ) -> Result<u64, sqlx::Error> {
        let (letters, inbox) = (table(home, "idem_dead_letters"), table(home, "idem_inbox"));
        let name = text(consumer);
        let which = format!(
            "letter.origin = '{CONSUMER}' AND letter.name = {name} AND letter.number = ANY ({}::bigint[])",
            plain(numbers)
        );
        // What is remembered of it as done would keep it out.
        let sql = format!(
            "{BY_INDEX}\
             DELETE FROM {inbox} AS known USING {letters} AS letter WHERE {which} AND known.origin = '{PARKED}' \
               AND known.name = {name} AND known.source = letter.source AND known.id = letter.id AND known.done_at IS NOT NULL; \
             INSERT INTO {inbox} (origin, name, lane, {COLUMNS}) \
             SELECT '{PARKED}', {name}, substr(sha256(convert_to(key, 'UTF8')), 1, 16), {COLUMNS} FROM {letters} AS letter \
             WHERE {which} ORDER BY number ON CONFLICT DO NOTHING; \
             DELETE FROM {letters} AS letter WHERE {which} RETURNING 1",
        );
        Ok(fetch_all(conn, sql).await?.len() as u64)
    }

    async fn probe(
        conn: &mut PgConnection,
        home: &Home,
        consumer: &str,
    ) -> Result<(), sqlx::Error> {
        let (attempts, name) = (table(home, "idem_attempts"), text(consumer));
        let row = format!("origin = '{PROBE}' AND name = {name} AND source = '' AND id = ''");
        let sql = format!(
            "{BY_INDEX}\
             INSERT INTO {attempts} (origin, name, source, id, attempts) VALUES ('{PROBE}', {name}, '', '', 0) \
             ON CONFLICT DO NOTHING; DELETE FROM {attempts} WHERE {row}"
        );
        fetch_last(conn, sql).await.map(drop)
    }
}

fn letter(row: &PgRow) -> Result<LetterRow, sqlx::Error> {
    Ok(LetterRow {
        number: row.try_get(0)?,
        died_at: system_time(time(row, 3)?.unwrap_or_default()),
        letter: Letter {
            attempts: row.try_get::<i32, _>(1)?.unsigned_abs(),
            reason: row.try_get(2)?,
            kept: kept(row, 4)?,
        },
    })
}
