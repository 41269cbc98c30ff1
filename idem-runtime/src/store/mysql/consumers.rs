//! Attempts and dead letters of consumers.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{MySql, Row as _};

use super::inbox::{COLUMNS, kept, values};
use super::literal::{bytes, text};
use super::round_trip::{END_READ, READ_COMMITTED, fits_packet};
use super::stored_row::{columns, lossy, micros};
use super::transaction::{BEGIN, run};
use crate::store::Home;
use crate::store::consumer_store::{CONSUMER, ConsumerStore, Letter, LetterRow, NewAttempt, PROBE};
use crate::store::inbox_store::PARKED;
use crate::store::kept_message::MessageId;
use crate::store::outbox_store::{list, time};

/// How many rows one statement writes, each with a text: it must fit into what every server takes.
const WRITTEN: usize = 16;

impl ConsumerStore for MySql {
    async fn count_attempts(
        conn: &mut MySqlConnection,
        _: &Home,
        consumer: &str,
        attempts: &[NewAttempt],
    ) -> Result<Vec<u32>, sqlx::Error> {
        let name = bytes(consumer.as_bytes());
        // The order keeps consumers that count the same messages from a deadlock.
        let mut order: Vec<usize> = (0..attempts.len()).collect();
        order.sort_by_key(|place| &attempts[*place].message);
        let mut counts = vec![1; attempts.len()];
        let mut begin = BEGIN;
        for places in order.chunks(WRITTEN) {
            let chosen = places.iter().map(|place| &attempts[*place]);
            let rows = chosen.clone().map(|attempt| {
                format!(
                    "('{CONSUMER}', {name}, {}, {}, 1, {})",
                    bytes(attempt.message.source.as_bytes()),
                    bytes(attempt.message.id.as_bytes()),
                    attempt
                        .reason
                        .as_deref()
                        .map_or_else(|| "NULL".into(), text),
                )
            });
            let sql = format!(
                "{begin}INSERT INTO idem_attempts (origin, name, source, id, attempts, last_error) VALUES {} \
                 ON DUPLICATE KEY UPDATE attempts = attempts + 1, last_error = COALESCE(VALUES(last_error), last_error), \
                 touched_at = UTC_TIMESTAMP(6); \
                 SELECT source, id, attempts FROM idem_attempts WHERE {}",
                list(rows),
                are(&name, chosen.clone().map(|attempt| &attempt.message)),
            );
            begin = "";
            for row in run(conn, sql).await? {
                let (source, id): (&[u8], &[u8]) = (row.try_get(0)?, row.try_get(1)?);
                let counted = attempts.iter().position(|attempt| {
                    let message = &attempt.message;
                    message.source.as_bytes() == source && message.id.as_bytes() == id
                });
                if let Some(place) = counted {
                    counts[place] = row.try_get::<i32, _>(2)?.unsigned_abs();
                }
            }
        }
        run(conn, "COMMIT".into()).await?;
        Ok(counts)
    }

    async fn forget_attempts(
        conn: &mut MySqlConnection,
        _: &Home,
        consumer: &str,
        done: &[MessageId],
        interrupted: &[MessageId],
    ) -> Result<(), sqlx::Error> {
        let name = bytes(consumer.as_bytes());
        let mut begin = BEGIN;
        for done in done.chunks(WRITTEN) {
            let which = are(&name, done.iter());
            let sql = format!("{begin}DELETE FROM idem_attempts WHERE {which}");
            run(conn, sql).await?;
            begin = "";
        }
        for interrupted in interrupted.chunks(WRITTEN) {
            let which = are(&name, interrupted.iter());
            let sql = format!(
                "{begin}UPDATE idem_attempts SET attempts = GREATEST(attempts - 1, 0) WHERE {which}"
            );
            run(conn, sql).await?;
            begin = "";
        }
        run(conn, "COMMIT".into()).await.map(drop)
    }

    async fn bury(
        conn: &mut MySqlConnection,
        _: &Home,
        consumer: &str,
        letter: &Letter,
    ) -> Result<(), sqlx::Error> {
        let name = bytes(consumer.as_bytes());
        let sql = format!(
            "{BEGIN}INSERT INTO idem_dead_letters (origin, name, {COLUMNS}, attempts, reason) \
             VALUES ('{CONSUMER}', {name}, {}, {}, {}) \
             ON DUPLICATE KEY UPDATE topic = VALUES(topic), `key` = VALUES(`key`), \
               type = VALUES(type), payload = VALUES(payload), content_type = VALUES(content_type), \
               headers = VALUES(headers), created_at = VALUES(created_at), attempts = VALUES(attempts), \
               reason = VALUES(reason), died_at = UTC_TIMESTAMP(6); \
             DELETE FROM idem_attempts WHERE {}; COMMIT",
            values(&letter.kept),
            letter.attempts,
            text(&letter.reason),
            are(&name, std::iter::once(&letter.kept.message)),
        );
        fits_packet(conn, &sql).await?;
        run(conn, sql).await.map(drop)
    }

    async fn letters(
        conn: &mut MySqlConnection,
        _: &Home,
        consumer: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<LetterRow>, sqlx::Error> {
        let sql = format!(
            "{READ_COMMITTED}; \
             SELECT number, attempts, CAST(reason AS BINARY), {}, source, id, {} \
             FROM idem_dead_letters AS letter FORCE INDEX (PRIMARY) \
             WHERE origin = '{CONSUMER}' AND name = {} AND number > {after} ORDER BY number LIMIT {limit}{END_READ}",
            micros("died_at"),
            columns("letter"),
            bytes(consumer.as_bytes()),
        );
        let rows = run(conn, sql).await?;
        rows.iter().map(letter).collect()
    }

    async fn replay(
        conn: &mut MySqlConnection,
        _: &Home,
        consumer: &str,
        numbers: &[i64],
    ) -> Result<u64, sqlx::Error> {
        if numbers.is_empty() {
            return Ok(0);
        }
        let name = bytes(consumer.as_bytes());
        let which = format!(
            "letter.number IN ({}) AND letter.origin = '{CONSUMER}' AND letter.name = {name}",
            list(numbers)
        );
        // What is remembered of it as done would keep it out.
        let sql = format!(
            "{BEGIN}\
             DELETE known FROM idem_inbox AS known JOIN idem_dead_letters AS letter \
               ON known.source = letter.source AND known.id = letter.id \
             WHERE {which} AND known.origin = '{PARKED}' AND known.name = {name} AND known.done_at IS NOT NULL; \
             INSERT INTO idem_inbox (origin, name, lane, {COLUMNS}) \
             SELECT '{PARKED}', {name}, LEFT(UNHEX(SHA2(`key`, 256)), 16), {COLUMNS} FROM idem_dead_letters AS letter \
             WHERE {which} ORDER BY number ON DUPLICATE KEY UPDATE idem_inbox.seq = idem_inbox.seq; \
             DELETE letter FROM idem_dead_letters AS letter WHERE {which}; \
             SELECT ROW_COUNT(); COMMIT",
        );
        let rows = run(conn, sql).await?;
        let moved: Option<i64> = rows.last().map(|row| row.try_get(0)).transpose()?;
        Ok(moved.unwrap_or(0).max(0).unsigned_abs())
    }

    async fn probe(
        conn: &mut MySqlConnection,
        _: &Home,
        consumer: &str,
    ) -> Result<(), sqlx::Error> {
        let name = bytes(consumer.as_bytes());
        let sql = format!(
            "{BEGIN}INSERT INTO idem_attempts (origin, name, source, id, attempts) VALUES ('{PROBE}', {name}, '', '', 0) \
             ON DUPLICATE KEY UPDATE attempts = attempts; \
             DELETE FROM idem_attempts WHERE origin = '{PROBE}' AND name = {name} AND source = '' AND id = ''; COMMIT"
        );
        run(conn, sql).await.map(drop)
    }
}

/// Whether a row is of one of these messages. The server finds rows by a tuple of two columns alone
/// only by reading all of the consumer's.
fn are<'a>(name: &str, messages: impl Iterator<Item = &'a MessageId>) -> String {
    let each = messages.map(|message| {
        format!(
            "(origin = '{CONSUMER}' AND name = {name} AND source = {} AND id = {})",
            bytes(message.source.as_bytes()),
            bytes(message.id.as_bytes()),
        )
    });
    each.collect::<Vec<_>>().join(" OR ")
}

fn letter(row: &MySqlRow) -> Result<LetterRow, sqlx::Error> {
    let died_at: Option<i64> = row.try_get(3)?;
    Ok(LetterRow {
        number: row.try_get(0)?,
        died_at: time(died_at.unwrap_or_default()),
        letter: Letter {
            attempts: row.try_get::<i32, _>(1)?.unsigned_abs(),
            reason: lossy(row, 2)?,
            kept: kept(row, 4)?,
        },
    })
}
