//! Attempts and dead letters of consumers.

use sqlx::mysql::MySqlConnection;
use sqlx::{MySql, Row as _};

use super::literal::{bytes, optional, text};
use super::round_trip::fits_packet;
use super::transaction::{BEGIN, run};
use crate::store::Home;
use crate::store::consumer_store::{CONSUMER, ConsumerStore, Letter, MessageId, NewAttempt, PROBE};
use crate::store::outbox_store::list;

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
        let (source, id) = (
            bytes(letter.message.source.as_bytes()),
            bytes(letter.message.id.as_bytes()),
        );
        let sql = format!(
            "{BEGIN}INSERT INTO idem_dead_letters \
               (origin, name, source, id, topic, `key`, type, payload, content_type, headers, created_at, attempts, reason) \
             VALUES ('{CONSUMER}', {name}, {source}, {id}, {}, {}, {}, {}, {}, {}, \
               TIMESTAMP '1970-01-01 00:00:00' + INTERVAL {} MICROSECOND, {}, {}) \
             ON DUPLICATE KEY UPDATE topic = VALUES(topic), `key` = VALUES(`key`), \
               type = VALUES(type), payload = VALUES(payload), content_type = VALUES(content_type), \
               headers = VALUES(headers), created_at = VALUES(created_at), attempts = VALUES(attempts), \
               reason = VALUES(reason), died_at = UTC_TIMESTAMP(6); \
             DELETE FROM idem_attempts WHERE {}; COMMIT",
            text(&letter.topic),
            optional(letter.key.as_deref().map(str::as_bytes)),
            text(&letter.kind),
            bytes(&letter.payload),
            text(&letter.content_type),
            text(&letter.headers_json()),
            letter.micros(),
            letter.attempts,
            text(&letter.reason),
            are(&name, std::iter::once(&letter.message)),
        );
        fits_packet(conn, &sql).await?;
        run(conn, sql).await.map(drop)
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
