//! A handler as a type: what a consumer and the test kit take.

use std::future::Future;

use sqlx::Database;

use crate::begin::Begin;
use crate::error::Error;
use crate::message::Received;
use crate::outcome::Outcome;

/// Implemented by the unit struct that `#[idempotent(handler = ApplyPayment)]` emits.
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

    /// Handles one delivery.
    fn call<B: Begin<<Self::Database as Database>::Connection>>(
        begin: B,
        message: &Received<Self::Message>,
        context: &Self::Context,
    ) -> impl Future<Output = Result<Outcome<Self::Output, Self::Replay>, Error<Self::Error>>>;
}
