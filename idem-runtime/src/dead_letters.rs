//! Events that a relay gave up, and how to publish them after all.

use std::time::SystemTime;

use sqlx::Pool;

use crate::error::Error;
use crate::guarded_connection::GuardedConnection;
use crate::message::Message;
use crate::schema::store_error;
use crate::store::{DeadLetterFilter, DeadLetterRow, OutboxStore};
use crate::telemetry::unlogged::unlogged;

/// How many dead letters one statement replays.
const BATCH: u32 = 1_000;

/// An event that a relay gave up, a row of `idem_dead_letters`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The dead letter's own number: they count up in the order in which events were given up. Give
    /// it to [`dead_letters`] to read the next page.
    pub number: i64,
    /// The target of the relay that gave it up; `default` unless it was given another name.
    pub target: String,
    /// The event. Where its row can't be read as an event: as much of it as can be read, without
    /// headers if these can't.
    pub message: Message,
    /// How many attempts failed, the last one included; 0 if none was made, since the row can't be
    /// read as an event.
    pub attempts: u32,
    /// Why the last attempt failed, in the publisher's words: at most 1,000 characters.
    pub reason: String,
    /// When it was given up, by the database's clock.
    pub died_at: SystemTime,
}

/// How many dead letters there are, of all topics and targets. [`backlog`](crate::backlog) counts
/// them by topic.
///
/// # Errors
/// [`Error::NotMigrated`], or [`Error::Store`] if the database refuses.
pub async fn count_dead_letters<DB: OutboxStore>(pool: &Pool<DB>) -> Result<u64, Error> {
    let (mut conn, home) = GuardedConnection::at_home(pool)
        .await
        .map_err(store_error::<DB>)?;
    let count = DB::count_dead_letters(conn.connection(), &home).await;
    conn.done(count).map_err(store_error::<DB>)
}

/// Reads at most `limit` dead letters after the one with the number `after`, in the order of their
/// numbers; from the first one if `after` is 0. Changes nothing.
///
/// ```
/// # #[cfg(feature = "postgres")]
/// # async fn example(pool: &sqlx::PgPool) -> Result<(), idem_runtime::Error> {
/// let mut after = 0;
/// loop {
///     let page = idem_runtime::dead_letters(pool, after, 100).await?;
///     let Some(last) = page.last() else { break };
///     after = last.number;
///     for letter in &page {
///         println!("{} {}: {}", letter.message.id, letter.message.topic, letter.reason);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotMigrated`], or [`Error::Store`] if the database refuses.
pub async fn dead_letters<DB: OutboxStore>(
    pool: &Pool<DB>,
    after: i64,
    limit: u32,
) -> Result<Vec<DeadLetter>, Error> {
    let (mut conn, home) = GuardedConnection::at_home(pool)
        .await
        .map_err(store_error::<DB>)?;
    let letters = DB::dead_letters(conn.connection(), &home, after, limit).await;
    let letters = conn.done(letters).map_err(store_error::<DB>)?;
    let source = home.source();
    let letters = letters.into_iter().map(|row| dead_letter(row, &source));
    Ok(letters.collect())
}

/// Puts dead letters back into the outbox, under the same event IDs. Their attempts are counted
/// from 0 again. Returns how many were put back; they are no dead letters any more.
///
/// Replayed events of one key keep their order among themselves, and come after all that waits in
/// the outbox. So a consumer gets them after younger events of their key, which it may have handled
/// long ago: where that matters, it must recognise an old event by its content, such as a version.
///
/// ```
/// use idem_runtime::{DeadLetterFilter, replay_dead_letters};
///
/// # #[cfg(feature = "postgres")]
/// # async fn example(pool: &sqlx::PgPool) -> Result<(), idem_runtime::Error> {
/// let replayed = replay_dead_letters(pool, DeadLetterFilter::Topic("orders.placed")).await?;
/// # let _: u64 = replayed;
/// # Ok(())
/// # }
/// ```
///
/// The outbox may have an event with the same ID already, if the message that emitted it ran again
/// after its retention. If the content is the same, the dead letter is deleted and counts as put
/// back. If it differs, the dead letter stays, and is not counted.
///
/// To drop a dead letter for good, delete its row in `idem_dead_letters`.
///
/// # Errors
/// [`Error::NotMigrated`], or [`Error::Store`] if the database refuses. What was replayed until
/// then stays replayed.
pub async fn replay_dead_letters<DB: OutboxStore>(
    pool: &Pool<DB>,
    which: DeadLetterFilter<'_>,
) -> Result<u64, Error> {
    let filters: Vec<_> = match which {
        DeadLetterFilter::Events(ids) => ids
            .chunks(BATCH as usize)
            .map(DeadLetterFilter::Events)
            .collect(),
        other => vec![other],
    };
    let mut replayed = 0;
    for filter in filters {
        loop {
            let (mut conn, home) = GuardedConnection::at_home(pool)
                .await
                .map_err(store_error::<DB>)?;
            let requeued = unlogged(DB::requeue(conn.connection(), &home, filter, BATCH)).await;
            let requeued = conn.done(requeued).map_err(store_error::<DB>)?;
            replayed += requeued;
            if requeued < u64::from(BATCH) {
                break;
            }
        }
    }
    Ok(replayed)
}

fn dead_letter(row: DeadLetterRow, source: &str) -> DeadLetter {
    DeadLetter {
        number: row.number,
        target: row.name,
        attempts: row.attempts,
        reason: row.reason,
        died_at: row.died_at,
        message: Message {
            source: source.to_owned(),
            ..row.message
        },
    }
}
