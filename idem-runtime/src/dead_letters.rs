//! Events that were given up, and the way back.

use std::time::SystemTime;

use sqlx::Pool;

use crate::error::Error;
use crate::event::EventId;
use crate::message::{Headers, Message};
use crate::relay::GuardedConnection;
use crate::schema::store_error;
use crate::store::{DeadLetterFilter, DeadLetterRow, OutboxStore};
use crate::telemetry::unlogged::unlogged;

/// How many dead letters one statement replays.
const BATCH: u32 = 1_000;

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its place in the order of emission. [`dead_letters`] takes it to go on after this one.
    pub seq: i64,
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
    let mut conn = GuardedConnection::acquire(pool)
        .await
        .map_err(Error::Store)?;
    let count = DB::count_buried(conn.connection()).await;
    conn.done(count).map_err(store_error::<DB>)
}

/// At most `limit` dead letters after the one with the place `after`, in the order of emission.
///
/// ```
/// # #[cfg(feature = "postgres")]
/// # async fn example(pool: &sqlx::PgPool) -> Result<(), idem_runtime::Error> {
/// let mut after = 0;
/// loop {
///     let page = idem_runtime::dead_letters(pool, after, 100).await?;
///     let Some(last) = page.last() else { break };
///     after = last.seq;
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
    let mut conn = GuardedConnection::acquire(pool)
        .await
        .map_err(Error::Store)?;
    let buried = DB::buried(conn.connection(), after, limit).await;
    let buried = conn.done(buried).map_err(store_error::<DB>)?;
    Ok(buried.into_iter().map(dead_letter).collect())
}

/// Puts dead letters back into the outbox, under the same event IDs and with all their attempts
/// before them. Returns how many.
///
/// They take their old place in the order of emission: the replayed events of one key come in
/// order, and before the younger ones that are still pending. Younger ones that were published
/// meanwhile stay published before them, so a consumer that depends on the order of a key must
/// recognise an old event by its content.
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
            let mut conn = GuardedConnection::acquire(pool)
                .await
                .map_err(Error::Store)?;
            let requeued = unlogged(DB::requeue(conn.connection(), filter, BATCH)).await;
            let requeued = conn.done(requeued).map_err(store_error::<DB>)?;
            replayed += requeued;
            if requeued < u64::from(BATCH) {
                break;
            }
        }
    }
    Ok(replayed)
}

fn dead_letter(buried: DeadLetterRow) -> DeadLetter {
    let event = buried.event;
    DeadLetter {
        seq: event.seq,
        attempts: event.attempts,
        reason: buried.reason,
        died_at: buried.died_at,
        message: Message {
            id: EventId::new(event.id),
            topic: event.topic,
            key: event.key,
            kind: event.kind,
            payload: event.payload,
            content_type: event.content_type,
            headers: serde_json::from_str(&event.headers).unwrap_or_else(|_| Headers::new()),
            created_at: event.created_at,
        },
    }
}
