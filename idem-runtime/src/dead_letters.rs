//! Events that were given up, and the way back.

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

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its own number, in the order of burial. [`dead_letters`] takes it to go on after this one.
    pub number: i64,
    /// The target of the relay that gave it up; `default` unless it was given another name.
    pub target: String,
    /// The event. If its headers were what made it unreadable, it has none.
    pub message: Message,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub reason: String,
    /// When it was given up, by the database's clock.
    pub died_at: SystemTime,
}

/// How many dead letters there are.
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

/// At most `limit` dead letters after the one with the number `after`, in the order of their numbers.
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

/// Puts dead letters back into the outbox, under the same event IDs and with all their attempts
/// before them. Returns how many.
///
/// They come after everything that waits: the replayed events of one key are in order among
/// themselves, and follow the younger ones that were emitted meanwhile. So a consumer that depends
/// on the order of a key must recognise an old event by its content.
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
/// If its message ran again after its retention, an event with the same ID may be in the outbox.
/// Where the content differs, the dead letter stays.
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
