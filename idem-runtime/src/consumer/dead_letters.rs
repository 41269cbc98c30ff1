//! Deliveries that were given up, and the way back.

use std::time::SystemTime;

use sqlx::Pool;

use crate::error::Error;
use crate::guarded_connection::GuardedConnection;
use crate::inbox::kept::incoming;
use crate::schema::store_error;
use crate::source::Incoming;
use crate::store::{ConsumerStore, LetterRow};
use crate::telemetry::unlogged::unlogged;

/// How many letters one statement moves.
const BATCH: usize = 100;

/// A delivery that a consumer gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerDeadLetter {
    /// Its own number, in the order of burial. [`consumer_dead_letters`] takes it to go on after this
    /// one.
    pub number: i64,
    /// The message as it came.
    pub incoming: Incoming,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub reason: String,
    /// When it was given up, by the database's clock.
    pub died_at: SystemTime,
}

/// At most `limit` dead letters of the consumer of this name after the one with the number `after`,
/// in the order of their numbers.
///
/// ```
/// # #[cfg(feature = "postgres")]
/// # async fn example(pool: &sqlx::PgPool) -> Result<(), idem_runtime::Error> {
/// for letter in idem_runtime::consumer_dead_letters(pool, "ledger", 0, 100).await? {
///     println!("{} {}: {}", letter.number, letter.incoming.kind, letter.reason);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotMigrated`], or [`Error::Store`] if the database refuses.
pub async fn consumer_dead_letters<DB: ConsumerStore>(
    pool: &Pool<DB>,
    consumer: &str,
    after: i64,
    limit: u32,
) -> Result<Vec<ConsumerDeadLetter>, Error> {
    let (mut conn, home) = GuardedConnection::at_home(pool)
        .await
        .map_err(store_error::<DB>)?;
    let letters = DB::letters(conn.connection(), &home, consumer, after, limit).await;
    let letters = conn.done(letters).map_err(store_error::<DB>)?;
    Ok(letters.into_iter().map(dead_letter).collect())
}

/// Gives dead letters back to the consumer of this name, by their numbers; how many were there.
///
/// They come back as they came, with all their attempts before them, in the order of their numbers:
/// of one key they follow each other, and what arrives of it meanwhile follows them. The consumer
/// that runs takes them within a second, and one that does not run when it is started.
///
/// ```
/// use idem_runtime::{consumer_dead_letters, replay_consumer_dead_letters};
///
/// # #[cfg(feature = "postgres")]
/// # async fn example(pool: &sqlx::PgPool) -> Result<(), idem_runtime::Error> {
/// let letters = consumer_dead_letters(pool, "ledger", 0, 1_000).await?;
/// let numbers: Vec<i64> = letters.iter().map(|letter| letter.number).collect();
/// let replayed = replay_consumer_dead_letters(pool, "ledger", &numbers).await?;
/// # let _: u64 = replayed;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotMigrated`], or [`Error::Store`] if the database refuses. What was replayed until
/// then stays replayed.
pub async fn replay_consumer_dead_letters<DB: ConsumerStore>(
    pool: &Pool<DB>,
    consumer: &str,
    numbers: &[i64],
) -> Result<u64, Error> {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    let mut replayed = 0;
    for numbers in numbers.chunks(BATCH) {
        let (mut conn, home) = GuardedConnection::at_home(pool)
            .await
            .map_err(store_error::<DB>)?;
        let moved = unlogged(DB::replay(conn.connection(), &home, consumer, numbers)).await;
        replayed += conn.done(moved).map_err(store_error::<DB>)?;
    }
    Ok(replayed)
}

fn dead_letter(row: LetterRow) -> ConsumerDeadLetter {
    ConsumerDeadLetter {
        number: row.number,
        incoming: incoming(row.letter.kept),
        attempts: row.letter.attempts,
        reason: row.letter.reason,
        died_at: row.died_at,
    }
}
