//! A handler as a type: what a consumer and the test kit take.

use std::future::Future;

use sqlx::Database;

use crate::begin::Begin;
use crate::error::Error;
use crate::message::Received;
use crate::outcome::Outcome;

/// Implemented by the unit struct that `#[idempotent(handler = ApplyPayment)]` emits.
///
/// ```
/// # #[cfg(all(feature = "macros", feature = "sqlite"))]
/// # mod example {
/// use idem_runtime::{Handler, Received, idempotent};
/// use sqlx::{Sqlite, SqliteConnection, SqlitePool};
///
/// pub struct Payment {
///     id: String,
///     cents: i64,
/// }
///
/// #[idempotent(key = "payment.id", handler = ApplyPayment)]
/// pub async fn apply_payment(tx: &mut SqliteConnection, payment: &Payment) -> Result<(), sqlx::Error> {
///     sqlx::query("UPDATE accounts SET cents = cents + $1").bind(payment.cents).execute(&mut *tx).await?;
///     Ok(())
/// }
///
/// /// Whether to acknowledge.
/// async fn deliver<H: Handler<Database = Sqlite, Context = ()>>(
///     pool: &SqlitePool,
///     received: &Received<H::Message>,
/// ) -> bool {
///     H::call(pool, received, &()).await.is_ok()
/// }
///
/// async fn example(pool: &SqlitePool) -> bool {
///     let payment = Payment { id: "p-1".into(), cents: 500 };
///     deliver::<ApplyPayment>(pool, &Received::new("evt_1", payment)).await
/// }
/// # }
/// ```
///
/// The call's future has no `Send` bound, so that a body which is not `Send` is reported where it is spawned.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a `Handler`",
    note = "`#[idempotent(key = \"...\", handler = {Self})]` on the function emits one"
)]
pub trait Handler {
    /// The database of its transaction.
    type Database: Database;
    /// What is delivered.
    type Message;
    /// What it borrows beside the message; `()` if nothing.
    type Context;
    /// What it returns.
    type Output;
    /// What a duplicate returns: `Output`, or `()` under `on_duplicate = "skip"`.
    type Replay;
    /// Its own error.
    type Error;

    /// The namespace of its keys.
    const SCOPE: &'static str;

    /// Handles one delivery; ends as the function does, see [`Outcome`] and [`Error`].
    fn call<B: Begin<<Self::Database as Database>::Connection>>(
        begin: B,
        message: &Received<Self::Message>,
        context: &Self::Context,
    ) -> impl Future<Output = Result<Outcome<Self::Output, Self::Replay>, Error<Self::Error>>>;
}
