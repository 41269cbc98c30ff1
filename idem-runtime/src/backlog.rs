//! What the outbox holds that is not published.

use std::time::Duration;

use sqlx::Pool;

use crate::error::Error;
use crate::guarded_connection::GuardedConnection;
use crate::schema::store_error;
use crate::store::{OutboxStore, TopicBacklog};

/// What waits in the outbox, since when, and how many events relays gave up. See [`backlog`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Events that are not published yet.
    pub pending: u64,
    /// How long the oldest of them has waited, by the database's clock. `None`: none waits.
    pub oldest: Option<Duration>,
    /// Events that were given up. See [`dead_letters`](crate::dead_letters).
    pub dead_letters: u64,
    /// The same for each topic that has any of them, in the order of their names.
    pub topics: Vec<TopicBacklog>,
}

/// Says what waits in the outbox, since when, and how many dead letters there are: for a health
/// check, an alert, a dashboard. Changes nothing.
///
/// Alert on the age of the oldest event, which tells a relay that is stuck from one that is busy,
/// and on any dead letter. It takes time in proportion to what waits, so call it every few seconds
/// and not for each message. With the feature `metrics` [`spawn_upkeep`](crate::spawn_upkeep) does
/// that, and sets gauges.
///
/// ```
/// # #[cfg(all(feature = "macros", feature = "sqlite"))]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}?mode=rwc", folder.path().join("backlog.db").display());
/// # let pool = sqlx::SqlitePool::connect(&url).await?;
/// # idem_runtime::migrate(&pool).await?;
/// use std::time::Duration;
///
/// let backlog = idem_runtime::backlog(&pool).await?;
/// let late = backlog.oldest.is_some_and(|age| age > Duration::from_mins(1));
/// if late || backlog.dead_letters > 0 {
///     for topic in &backlog.topics {
///         eprintln!("{}: {} wait, {} were given up", topic.topic, topic.pending, topic.dead_letters);
///     }
/// }
/// # assert_eq!(backlog, idem_runtime::Backlog::default());
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "macros", feature = "sqlite")))]
/// # fn main() {}
/// ```
///
/// # Errors
/// [`Error::NotMigrated`], or [`Error::Store`] if the database refuses.
pub async fn backlog<DB: OutboxStore>(pool: &Pool<DB>) -> Result<Backlog, Error> {
    read(pool).await.map_err(store_error::<DB>)
}

pub(crate) async fn read<DB: OutboxStore>(pool: &Pool<DB>) -> Result<Backlog, sqlx::Error> {
    let (mut conn, home) = GuardedConnection::at_home(pool).await?;
    let read = async {
        let topics = DB::backlog(conn.connection(), &home).await?;
        Ok((topics, DB::members(conn.connection(), &home).await?))
    };
    let read = read.await;
    let (mut topics, relays) = conn.done(read)?;
    for topic in &mut topics {
        let mut relays = relays.iter().filter(|relay| relay.is_alive);
        topic.has_relay = relays.any(|relay| relay.topics.contain(&topic.topic));
    }
    topics.sort_unstable_by(|a, b| a.topic.cmp(&b.topic));
    Ok(Backlog {
        pending: topics.iter().map(|topic| topic.pending).sum(),
        oldest: topics.iter().filter_map(|topic| topic.oldest).max(),
        dead_letters: topics.iter().map(|topic| topic.dead_letters).sum(),
        topics,
    })
}
