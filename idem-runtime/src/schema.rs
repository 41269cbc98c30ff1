//! The tables: made, checked and kept small.

use std::convert::Infallible;
use std::time::Duration;

use sqlx::Pool;

use crate::contract::duplicate_scopes;
use crate::error::Error;
use crate::store::{Keep, Store};

/// How many rows one statement of [`purge`] deletes.
const BATCH: u32 = 1_000;

/// How long an attempt is kept that nothing has touched.
const KEEP_ATTEMPTS: Duration = Duration::from_hours(7 * 24);

/// How long an inbox remembers a message that is done. Senders of webhooks retry for 75 hours.
const KEEP_DONE: Duration = Duration::from_hours(4 * 24);

/// Creates the tables, or brings them to this release's version. Safe when many services start at
/// once. It never drops or rewrites anything.
///
/// It also mints the namespace of this database, once: see [`renew_namespace`]. On PostgreSQL it
/// makes the functions of this crate again where the schema of the tables was renamed.
///
/// Needs a role that may run DDL. Where the service's role may not, see [the
/// guide](crate::guide::migrations_and_deploys) and [`verify`](crate::verify).
///
/// ```no_run
/// # #[cfg(feature = "postgres")]
/// # async fn start(url: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let pool = sqlx::PgPool::connect(url).await?;
/// idem_runtime::migrate(&pool).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Store`] if the database refuses, and [`Error::DuplicateScopes`] if two handlers of this
/// program have one scope.
pub async fn migrate<DB: Store>(pool: &Pool<DB>) -> Result<(), Error> {
    let duplicates = duplicate_scopes();
    if !duplicates.is_empty() {
        return Err(Error::DuplicateScopes(duplicates));
    }
    DB::migrate(pool).await.map_err(Error::Store)
}

/// Gives this database a new namespace: a random ID that each event ID is derived from, so that two
/// databases never mint one event ID for two events.
///
/// A dump that is restored, a standby and a renamed database keep the namespace, and must. Call
/// this for a copy that goes on together with its original, such as a new tenant's database that
/// was made from another one as its template, before the copy handles its first message. A message
/// that the copy handled before gets the same result as ever, but one that runs again there emits
/// its events under new IDs.
///
/// Services that run need not be restarted.
///
/// # Errors
/// [`Error::NotMigrated`], or [`Error::Store`] if the database refuses.
pub async fn renew_namespace<DB: Store>(pool: &Pool<DB>) -> Result<(), Error> {
    DB::renew_namespace(pool).await.map_err(store_error::<DB>)
}

/// What a [`purge`] deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// Keys past their retention.
    pub keys: u64,
    /// Failed attempts that nothing has touched for 7 days: what they are of is done, or gone.
    pub attempts: u64,
    /// Messages of an [`Inbox`](crate::Inbox), or of a consumer's, that were done more than 4 days
    /// ago.
    pub inbox: u64,
}

/// Deletes the keys whose retention has passed, the failed attempts that nothing has touched for
/// 7 days, and what an inbox remembers of messages that were done 4 days ago, in batches of a thousand rows, by the database's clock. Safe while handlers, relays and
/// other purges run, and safe to drop half way. (A published event is deleted by its relay.)
///
/// Nothing calls it but you: from a job, or by [`spawn_upkeep`](crate::spawn_upkeep). A message
/// whose key was purged runs again if it comes again; see [retention](crate::guide::retention).
///
/// ```no_run
/// # #[cfg(feature = "postgres")]
/// # async fn hourly(pool: &sqlx::PgPool) -> Result<(), idem_runtime::Error> {
/// let purged = idem_runtime::purge(pool).await?;
/// println!("{} keys, {} attempts", purged.keys, purged.attempts);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NotMigrated`], or [`Error::Store`] if the database refuses. What was deleted until then
/// stays deleted.
pub async fn purge<DB: Store>(pool: &Pool<DB>) -> Result<Purged, Error> {
    let mut purged = Purged::default();
    while purge_batch(pool, &mut purged)
        .await
        .map_err(store_error::<DB>)?
    {}
    Ok(purged)
}

/// One batch of a purge; whether there may be more.
pub(crate) async fn purge_batch<DB: Store>(
    pool: &Pool<DB>,
    purged: &mut Purged,
) -> Result<bool, sqlx::Error> {
    let keep = Keep {
        attempts: KEEP_ATTEMPTS,
        done: KEEP_DONE,
    };
    let deleted = DB::purge(pool, BATCH, keep).await?;
    purged.keys += deleted.keys;
    purged.attempts += deleted.attempts;
    purged.inbox += deleted.inbox;
    let each = [deleted.keys, deleted.attempts, deleted.inbox];
    Ok(each.into_iter().any(|deleted| deleted >= u64::from(BATCH)))
}

pub(crate) fn store_error<DB: Store>(error: sqlx::Error) -> Error<Infallible> {
    DB::classify(&error).into_error(error, None)
}
