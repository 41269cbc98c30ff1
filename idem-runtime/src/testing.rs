//! Visits every crash point of a handler of yours, and checks that it acts once.
//!
//! What happens if this message is processed three times, and the process dies in between? One line of a test answers that
//! for a handler, on the real database with its real schema:
//!
//! ```no_run
//! # #[cfg(all(feature = "macros", feature = "postgres"))]
//! # mod example {
//! use idem_runtime::{idempotent, testing};
//! use sqlx::PgConnection;
//!
//! #[derive(Clone)]
//! pub struct PaymentCaptured {
//!     id: String,
//!     account: i64,
//!     amount: i64,
//! }
//!
//! #[idempotent(key = "event.id", handler = ApplyPayment)]
//! pub async fn apply_payment(tx: &mut PgConnection, event: &PaymentCaptured) -> Result<(), sqlx::Error> {
//!     sqlx::query("UPDATE accounts SET balance = balance + $1 WHERE id = $2")
//!         .bind(event.amount)
//!         .bind(event.account)
//!         .execute(&mut *tx)
//!         .await?;
//!     Ok(())
//! }
//!
//! #[tokio::test]
//! async fn apply_payment_is_effectively_once() {
//!     let url = std::env::var("TEST_DATABASE_URL").unwrap(); // migrated, with the account in it
//!     let event = PaymentCaptured { id: "evt_1".into(), account: 1, amount: 500 };
//!     testing::explore::<ApplyPayment>(&url, &event).await.assert_holds();
//! }
//! # }
//! ```
//!
//! # What it does
//!
//! The database at the URL is a template: it is read and copied, and never changed. Each run works on a copy of its own.
//!
//! 1. Clean runs count the steps of one delivery: on PostgreSQL, MySQL and MariaDB the round trips that pass a proxy between
//!    sqlx and the server, on SQLite the checkpoints of its statements. They also show what the effect is, and which columns
//!    differ from run to run by their nature: identities, clocks, UUIDs. Identities are not ignored: they must match one to
//!    one, in all tables that refer to them. Row counts are never ignored.
//! 2. For each step and each [`Mode`] a run injures the delivery there, and delivers again until it ends well. (SQLite has many
//!    checkpoints in a statement. Of more than 150, those around each change are visited and others evenly spread; the report says
//!    how many.)
//! 3. After each delivery the whole database must hold nothing of the effect or all of it: claim, rows, result, events. After
//!    one that ended well, all of it; a later delivery, to another process, must change nothing. No transaction may stay open.
//!
//! What a relay publishes is what a commit left in the outbox; since the outbox is compared after each delivery, an event that
//! could have been published between two of them is in the end state with the same ID.
//!
//! # What it does not do
//!
//! It visits each point at which the handler meets its database. It does not look at other effects, such as an HTTP call, nor
//! choose among all interleavings of two different messages. It takes one message; a handler with branches deserves a line
//! for each of them.
//!
//! # Cost
//!
//! A handler of five prepared statements takes about 80 runs on PostgreSQL and 70 on MariaDB: 3 to 4 s and 2 s on two processors. Two runs
//! go on at once, see [`Explorer::side_by_side`]. A run compares all tables three times: keep the template small. Copies are refilled
//! where the role may do so (on PostgreSQL a superuser, or who may set `session_replication_role`), and made anew otherwise, which
//! takes two to ten times as long, the more the slower a disk the server waits for.

#![cfg_attr(
    not(any(feature = "postgres", feature = "mysql", feature = "sqlite")),
    allow(dead_code, reason = "no database is on")
)]

mod calibration;
mod changes;
#[cfg_attr(
    not(feature = "sqlite"),
    allow(dead_code, reason = "SQLite alone has checkpoints")
)]
mod checkpoints;
mod child;
mod compare;
mod difference;
mod explorer;
mod fault;
#[cfg(test)]
mod fixture;
mod life;
mod mask;
mod moment;
mod plan;
mod points;
mod poll;
mod report;
mod snapshot;
mod specimens;
mod subject;
mod token;
mod trial;
mod verdict;
mod violation;
mod visit;
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "no server is on")
)]
pub(crate) mod wire;

use std::fmt::Debug;

#[doc(hidden)]
pub use self::checkpoints::Checkpoints;
#[doc(hidden)]
pub use self::compare::compare;
#[doc(hidden)]
pub use self::difference::Difference;
pub(crate) use self::difference::shortened;
pub use self::explorer::Explorer;
pub use self::fault::{Fault, Mode};
#[doc(hidden)]
pub use self::mask::{Mask, Nondeterminism};
pub use self::poll::drop_at_pending;
pub use self::report::Report;
#[doc(hidden)]
pub use self::snapshot::{Column, ForeignKey, Nature, Snapshot, Table, Value, Window};
pub use self::violation::{Breach, Violation};
use crate::handler::Handler;
use crate::store::explorable::Explorable;

/// Explores a handler with one message, on copies of the database at this URL.
///
/// The message is delivered with the ID `explored`, no ordering key and no headers; see [`Explorer::run_received`] for others, and
/// [`Explorer`] for everything that can be set.
///
/// The message is cloned once; a type that is not `Clone` can be given by value to [`Explorer::run_received`].
///
/// Call it in a test, on a tokio runtime of any flavour, and end with [`Report::assert_holds`].
pub async fn explore<H>(database_url: &str, message: &H::Message) -> Report
where
    H: Handler<Database: Explorable, Message: Clone, Context: Default, Error: Debug>,
{
    Explorer::new(database_url).run::<H>(message).await
}
