//! What an earlier delivery stored, without running a handler.

use sqlx::Pool;

use crate::begin::OwnedPool;
use crate::error::Error;
use crate::execution::{Execution, Policy};
use crate::handler::Handler;
use crate::message::Received;

/// What an earlier delivery of this message stored. Nothing runs, and nothing is claimed.
///
/// `None` if the handler has not run for this key, if its first delivery still runs, or if the key
/// was purged. Under `on_duplicate = "skip"` nothing but the fact is stored: `Some(())`.
///
/// ```
/// # #[cfg(all(feature = "macros", feature = "sqlite"))]
/// # mod example {
/// use idem_runtime::{Error, Received, idempotent, lookup};
/// use sqlx::{SqliteConnection, SqlitePool};
///
/// #[idempotent(key = "order.id", handler = Place)]
/// async fn place(tx: &mut SqliteConnection, order: &Order) -> Result<i64, sqlx::Error> {
///     // ...
/// #   let _ = tx;
/// #   Ok(order.cents)
/// }
/// # pub struct Order { id: String, cents: i64 }
///
/// /// Answers "was my order placed?".
/// async fn placed(
///     pool: &SqlitePool,
///     order: &Received<Order>,
/// ) -> Result<Option<i64>, Error<sqlx::Error>> {
///     lookup::<Place>(pool, order, &()).await
/// }
/// # }
/// ```
///
/// # Errors
/// What a delivery would get that came now: the stored error of the handler as [`Error::Handler`],
/// [`Error::Unfinished`], [`Error::FingerprintMismatch`], [`Error::ResultUndecodable`],
/// [`Error::EmptyKey`], [`Error::DuplicateScopes`], [`Error::ForeignTransaction`],
/// [`Error::NotMigrated`] or [`Error::Store`].
pub async fn lookup<H: Handler>(
    pool: &Pool<H::Database>,
    message: &Received<H::Message>,
    context: &H::Context,
) -> Result<Option<H::Replay>, Error<H::Error>> {
    let identity = H::identity(message, context);
    let fingerprint = identity.fingerprint.clone();
    let policy = Policy::new(H::SCOPE);
    let origin = OwnedPool(pool.clone());
    let record = Execution::new(origin, policy, Some(identity), false)
        .look_up()
        .await
        .map_err(|error| error.map_handler(|never| match never {}))?;
    let Some(record) = record else {
        return Ok(None);
    };
    H::replayer()
        .replay(&record, fingerprint.as_ref())
        .map(Some)
}
