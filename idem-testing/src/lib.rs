//! Checks that a message handler acts once: visits every crash point of it on copies of a real
//! database.
//!
//! What happens if a message is processed three times, and the process dies in between? One line of
//! a test answers that for a handler of [`idem-runtime`](idem_runtime), on your database with your
//! schema:
//!
//! ```no_run
//! # #[cfg(feature = "postgres")]
//! # mod example {
//! use idem_runtime::idempotent;
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
//!     idem_testing::explore::<ApplyPayment>(&url, &event).await.assert_holds();
//! }
//! # }
//! ```
//!
//! A handler that was written by hand can be explored, too: see [`Explorer::run_with`].
//!
//! # How it works
//!
//! The database at the URL is a template. It is read and copied, and never changed. Each run works
//! on a copy of its own.
//!
//! 1. Clean runs count the steps of one delivery. On PostgreSQL, MySQL and MariaDB a step is a
//!    round trip through a proxy between sqlx and the server. On SQLite it is a checkpoint inside a
//!    statement. Clean runs also show what the effect is, and which columns differ from run to run:
//!    generated identities, clocks, UUIDs. An identity is not ignored: in every run it must connect
//!    the same rows, in all tables that refer to it. Row counts are never ignored.
//! 2. For each step and each [`FaultKind`], one run injects that fault into the first delivery, and
//!    delivers again until a delivery succeeds. If a delivery succeeds in spite of its fault, the
//!    handler may have tried again by itself: then another run injects the fault each time the
//!    handler tries that statement. (SQLite has many checkpoints in a statement. Of more than 150,
//!    the explorer visits those around each change and others at even distances, and the report
//!    says how many.)
//! 3. After each delivery the whole database must hold none of the effect or all of it: claim,
//!    rows, result, events. After a successful delivery it must hold all of it. No transaction may
//!    stay open.
//! 4. Once a copy holds all of the effect, nothing in it may change any more, also not a time, a
//!    generated identity or a random token. A late delivery, to another process, must change
//!    nothing either.
//! 5. A duplicate must return what the first delivery returned. Results are compared as their
//!    `Debug` shows them, without regard to the order of a list.
//!
//! The whole database is its tables. On PostgreSQL it is also large objects and the objects of the
//! schema (views, functions, triggers, types and so on), on SQLite views, triggers, indexes and
//! `user_version`, on MySQL and MariaDB views. Sequences are not compared, since a transaction that
//! is rolled back moves them, too.
//!
//! A relay publishes what a commit left in the outbox. The outbox is compared after each delivery,
//! so an event that could have been published between two deliveries is in the end state, under the
//! same ID.
//!
//! # What it does not check
//!
//! It visits each point at which the handler talks to its database. It does not look at other
//! effects, such as an HTTP call, nor at virtual tables of SQLite, and it does not try all
//! interleavings of two different messages. [`explore`] takes one message: a handler with branches deserves
//! one exploration for each of them.
//!
//! # Batches
//!
//! [`explore_batch`] explores one batch of messages instead of one message. Before the faults, clean
//! runs deliver the same messages in reversed order, each alone, and the first one alone before all
//! of them. The database and the result of each message must be the same in the end. So it finds
//! results in another order than that of the slice, which would be stored under other messages'
//! keys; events that are emitted under the place of another message; and whatever else depends on
//! the batch. See [`ViolationKind::DependsOnBatch`].
//!
//! # Cost
//!
//! A handler of five prepared statements takes about 80 runs on PostgreSQL and 70 on MariaDB: 3 to
//! 4 s and 2 s on two processors. Two runs go on at a time, see [`Explorer::concurrency`]. A run
//! compares all tables three times, so keep the template small. A used copy is refilled where the
//! role may do so (on PostgreSQL: a superuser, or a role that may set `session_replication_role`).
//! Otherwise it is created anew, which takes two to ten times as long, depending on the disk.
//!
//! # Consumers
//!
//! [`TestSource`] delivers to a consumer by hand, with a clock that the test moves.
//!
//! # Publishers
//!
//! [`conformance`] is another tool, for those who write a publisher: it needs no feature.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `postgres` | handlers on PostgreSQL |
//! | `mysql` | handlers on MySQL and MariaDB |
//! | `sqlite` | handlers on SQLite |
//!
//! None is on by default. Each turns on the feature of that name in `idem-runtime`.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(any(feature = "postgres", feature = "mysql", feature = "sqlite")),
    allow(dead_code, reason = "no database is on")
)]

#[cfg_attr(
    not(feature = "sqlite"),
    allow(dead_code, reason = "SQLite alone has checkpoints")
)]
mod checkpoints;
mod clone_database;
mod comparison;
pub mod conformance;
mod explorable;
mod explorer;
mod fault;
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "no server is on")
)]
mod fault_proxy;
mod poll;
mod report;
mod run;
mod setup_error;
mod test_source;
mod violation;

pub use explorer::{Explorer, explore, explore_batch};
pub use fault::{Fault, FaultKind};
pub use poll::drop_at_pending;
pub use report::Report;
pub use test_source::{Delivered, HandedOver, Settled, TestDelivery, TestSource};
pub use violation::{Violation, ViolationKind};

/// What the explorer is made of, for its own tests.
#[doc(hidden)]
pub mod __internals {
    pub use crate::clone_database::{CloneDatabase, DatabaseCopy};
    pub use crate::comparison::compare::compare;
    pub use crate::comparison::difference::Difference;
    pub use crate::comparison::mask::{Mask, Nondeterminism};
    pub use crate::comparison::snapshot::{Snapshot, Value};
    pub use crate::fault_proxy::server::Server;
    pub use crate::fault_proxy::step::{InjectedError, ProxyFault, Step, StepKind};
    pub use crate::fault_proxy::{FaultProxy, Protocol};
    pub use crate::setup_error::SetupError;
}
