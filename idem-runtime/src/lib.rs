//! Effectively-once message handlers on [sqlx] and tokio.
//!
//! Brokers and webhooks deliver at least once: after a lost acknowledgement, a crash or a rebalance
//! the same message comes again. This crate makes it safe to handle the same message more than
//! once.
//!
//! > A handler annotated with `#[idempotent(key = "...")]` may be delivered any number of times
//! > within its retention, in any order, concurrently, across crashes. **Its database effect
//! > happens once.** Every later delivery gets the stored result of the first. Events that it emits
//! > exist if and only if the effect does, and are published at least once, with the same event ID
//! > every time.
//!
//! The claim of the key, the effect, the stored result and the events commit in **one** transaction
//! of the database that the effect is in: PostgreSQL, MySQL, MariaDB or SQLite. There is no lease,
//! no clock, and no state "in progress" that could get stuck: a unique constraint decides.
//!
//! # Not promised
//!
//! * **Effects outside of that database.** An HTTP call in a handler happens at least once, since
//!   the handler runs again after a rollback. Pass a deterministic key on, such as the message's
//!   ID, or emit an event and make the call in the handler of that event.
//! * **Duplicates under different keys.** The producer says what is the same message; see [choosing
//!   a key](guide::choosing_a_key).
//! * **Duplicates after retention**, once the key is purged; the default is to remember for ever.
//! * **Order.** Deliveries may come in any order. (Events of one ordering key are published in
//!   order, and a [`Consumer`] handles those of one key in the order in which it gets them.)
//! * **What a swallowed error leaves, on SQLite and MySQL.** There a failed statement is undone
//!   alone: a handler that ignores its error and says `Ok` commits the rest. Use `?`.
//!
//! # A first handler
//!
//! ```
//! use idem_runtime::{Outcome, idempotent};
//! use serde::{Deserialize, Serialize};
//! use sqlx::{SqliteConnection, SqlitePool};
//!
//! struct PaymentCaptured {
//!     id: String, // minted by the producer: the same on every delivery
//!     account: i64,
//!     cents: i64,
//! }
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Receipt {
//!     balance: i64,
//! }
//!
//! #[idempotent(key = "event.id")]
//! async fn apply_payment(tx: &mut SqliteConnection, event: &PaymentCaptured) -> Result<Receipt, sqlx::Error> {
//!     let balance = sqlx::query_scalar("UPDATE accounts SET balance = balance + $1 WHERE id = $2 RETURNING balance")
//!         .bind(event.cents)
//!         .bind(event.account)
//!         .fetch_one(&mut *tx)
//!         .await?;
//!     Ok(Receipt { balance })
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let url = format!("sqlite://{}?mode=rwc", folder.path().join("bank.db").display());
//! let pool = SqlitePool::connect(&url).await?;
//! idem_runtime::migrate(&pool).await?; // once, when the service starts
//! # sqlx::query("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER)").execute(&pool).await?;
//! # sqlx::query("INSERT INTO accounts VALUES (1, 0)").execute(&pool).await?;
//!
//! let event = PaymentCaptured { id: "evt_1".into(), account: 1, cents: 500 };
//! assert_eq!(apply_payment(&pool, &event).await?, Outcome::Executed(Receipt { balance: 500 }));
//! // the same message again: nothing runs, the stored result comes back
//! assert_eq!(apply_payment(&pool, &event).await?, Outcome::Replayed(Receipt { balance: 500 }));
//! # Ok(())
//! # }
//! ```
//!
//! When the call returns `Ok`, all of it is committed: acknowledge the message. When it returns an
//! [`Error`], its [`disposition`](Error::disposition) says whether to deliver again or to put the
//! message aside.
//!
//! # Map
//!
//! | you want to | take |
//! |---|---|
//! | handle each message once | [`idempotent`](macro@idempotent), [`Outcome`], [`Error`] |
//! | say what identifies a message | [`Key`](trait@Key) and `#[derive(Key)]`, [`ContentHash`] |
//! | say which errors are permanent | [`Classify`], [`Disposition`] |
//! | publish events | [`outbox`](macro@outbox), [`Outbox`], [`Event`](trait@Event) and `#[derive(Event)]` |
//! | handle many messages in one transaction | `batch` of [`idempotent`](macro@idempotent), [`BatchEntry`], [`BatchOutbox`]: see [batches](guide::batches) |
//! | call a handler with a pool, or in your own transaction | [`Begin`] |
//! | send events to a file, an endpoint, a broker | [`Relay`], [`broker`], [`Publisher`], the crate `idem-http` |
//! | take messages from a broker, or from a table of your own | [`Consumer`], [`Source`], [`Inbox`] |
//! | look at messages that could not be handled | [`consumer_dead_letters`], [`replay_consumer_dead_letters`] |
//! | write and read events as others do | [`cloud_events`] |
//! | look at events that a relay gave up, and publish them after all | [`dead_letters`], [`count_dead_letters`], [`replay_dead_letters`] |
//! | wake the relays after a COMMIT of your own | [`wake`](fn@wake) |
//! | take handlers as types, in a consumer of your own | [`Handler`], [`Received`], [`Identity`] |
//! | ask what an earlier delivery stored, without running | [`lookup`] |
//! | prove that a handler acts once | `idem_testing::explore` and `explore_batch`, of the crate `idem-testing` |
//! | create, check and clean the tables | [`migrate`], [`verify`], [`spawn_upkeep`], [`purge`] |
//! | see what waits to be published | [`backlog`] |
//! | copy a database that goes on together with its original | [`renew_namespace`] |
//! | see a change of a contract in the diff | [`contracts!`] |
//! | understand what happens when | [`guide`] |
//!
//! # Features
//!
//! No database is on by default; turn on yours. Features only add.
//!
//! | feature | adds |
//! |---|---|
//! | `macros` (default) | `#[idempotent]`, `#[outbox]`, `#[derive(Event)]`, `#[derive(Key)]` |
//! | `postgres` | PostgreSQL 15 and later, also behind PgBouncer |
//! | `mysql` | MySQL 8, MariaDB 10.6 and later |
//! | `sqlite` | SQLite 3.40 and later |
//! | `anyhow`, `eyre` | their error types say what a consumer does with a delivery: it is tried again |
//! | `metrics` | counts and durations for the crate `metrics` |
//! | `opentelemetry` | `traceparent` in events, OpenTelemetry names on spans |
//!
//! # What holds at every crash point
//!
//! 1. **Only this crate's own claim decides what is a duplicate.** A unique violation in your own
//!    tables is your error, and never mistaken for a duplicate delivery.
//! 2. **`Ok` means committed, all of it.** A swallowed SQL error, a COMMIT or ROLLBACK inside the
//!    handler, a nested transaction that leaked, DDL on MySQL: each ends as an [`Error`], and never
//!    as a success whose effect is missing.
//! 3. **Dropping the future is safe** at any await: no half effect, and no open transaction that
//!    goes back to the pool. (On a bare connection the second half can't be kept; see [`Begin`].)
//!    The server never has more sessions of a pool than the pool has connections.
//! 4. **Duplicates do not drain the pool.** While the first delivery runs, the others of this
//!    process wait without a connection. Every wait is bounded.
//! 5. **A replay is what the first delivery returned.** A result that would be read back as another
//!    value fails the first delivery before COMMIT. A stored result that can't be read is an error,
//!    never a second execution and never an empty success.
//! 6. **Your transactions are left alone.** On your own connection, a transaction that raw SQL
//!    began is neither joined nor ended: see [`Error::ForeignTransaction`].
//!
//! The [table of crash points](guide::crash_points) says for each line of a call what is in the
//! database if it ends there.

// The pages link to the macros.
#![cfg_attr(not(feature = "macros"), allow(rustdoc::broken_intra_doc_links))]

// The name under which the macros' expansions find this crate, in its own tests too.
#[allow(unused_extern_crates)]
extern crate self as idem_runtime;

mod backlog;
mod begin;
pub mod broker;
mod call;
pub mod cloud_events;
mod consumer;
mod contract;
mod dead_letters;
mod disposition;
mod error;
mod event;
mod execution;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
// Its examples need every database.
mod guarded_connection;
#[cfg(any(
    not(doctest),
    all(
        feature = "macros",
        feature = "postgres",
        feature = "mysql",
        feature = "sqlite"
    )
))]
pub mod guide;
mod handler;
mod identity;
mod inbox;
mod jitter;
mod key;
mod lookup;
mod member;
mod message;
mod outbox;
mod outcome;
mod publisher;
mod reason;
mod relay;
mod schema;
mod shard;
mod source;
mod statement;
mod store;
mod telemetry;
mod upkeep;
mod verify;
mod wake;

pub use backlog::{Backlog, backlog};
pub use begin::Begin;
pub use consumer::{
    Backoff, Consumer, ConsumerDeadLetter, ConsumerError, ConsumerStats, Decode, Failure, Json,
    NoContext, Route, Undecodable, consumer_dead_letters, replay_consumer_dead_letters,
};
pub use contract::DuplicateScope;
pub use dead_letters::{DeadLetter, count_dead_letters, dead_letters, replay_dead_letters};
pub use disposition::{Classify, Disposition};
pub use error::{BatchEntry, Error};
pub use event::{Emits, Event, EventId, EventSet, OrderingKey};
pub use handler::Handler;
/// Declares the topic, the type and the ordering key of an event: see the trait.
#[cfg(feature = "macros")]
pub use idem_macros::Event;
/// Makes a newtype a key, stored as what it wraps: see the trait.
#[cfg(feature = "macros")]
pub use idem_macros::Key;
#[cfg(feature = "macros")]
#[doc = include_str!("../docs/idempotent.md")]
pub use idem_macros::idempotent;
#[cfg(feature = "macros")]
#[doc = include_str!("../docs/outbox.md")]
pub use idem_macros::outbox;
pub use identity::Identity;
pub use inbox::{Inbox, InboxDelivery};
pub use key::{ContentHash, Key, KeyWriter};
pub use lookup::lookup;
pub use message::{Headers, Message, Received};
pub use outbox::{BatchOutbox, Outbox, OutboxOf};
pub use outcome::Outcome;
pub use publisher::{BatchMessage, PublishBatch, PublishError, Publisher, Verdicts, in_order};
pub use relay::{Relay, RelayError, RelayStats};
pub use schema::{Purged, migrate, purge, renew_namespace};
pub use source::{
    Arrival, Delivery, Handover, Incoming, Partition, SettleError, Source, SourceError,
};
pub use store::{DeadLetterFilter, TopicBacklog};
#[cfg(feature = "metrics")]
pub use telemetry::metrics::describe_metrics;
pub use upkeep::{Upkeep, UpkeepOptions, spawn_upkeep};
pub use verify::{VerifyError, verify, verify_warnings};
pub use wake::wake;

// The README's example must compile, too. Only a test sees the file: it is not in the published
// package.
#[cfg(all(doctest, feature = "macros", feature = "postgres"))]
#[doc = include_str!("../../README.md")]
pub mod readme {}

/// What expansions call. Not for people: no promise is made about it.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use serde::Serialize;
    pub use sqlx::Connection;

    pub use crate::call::batch::{BatchCall, Results, batch};
    pub use crate::call::codec::{OnDuplicate, OnError, record, replay, rollback, skip};
    pub use crate::call::conflict::{Probe, ViaError, ViaLocal, ViaNothing, ViaShared};
    pub use crate::call::fidelity::{equality, written};
    pub use crate::call::inner_error::error_of;
    pub use crate::call::returned::Returned;
    pub use crate::call::spec::Spec;
    pub use crate::call::{
        Call, Encoded, Replayer, Transaction, call, identity, key, key_type, ordering_key,
        transaction,
    };
    pub use crate::contract::{Contract, Refused, check_contracts};
    pub use crate::event::{EventContract, EventSet};
    pub use crate::handler::{BatchFailure, only};
    pub use crate::member::Member;
    pub use crate::store::Isolation;
}

/// What `idem-testing` needs. Not for people: no promise is made about it.
#[doc(hidden)]
pub mod __testing {
    pub use crate::source::{Clock, ManualClock};
    pub use crate::store::{ConsumerStore, Store};

    #[cfg(feature = "postgres")]
    pub mod postgres {
        pub use crate::store::postgres::literal::{bytes, text};
    }

    #[cfg(feature = "mysql")]
    pub mod mysql {
        pub use crate::store::mysql::error_class::number;
        pub use crate::store::mysql::literal::text;
    }

    #[cfg(feature = "sqlite")]
    pub mod sqlite {
        pub use crate::store::sqlite::error_class::code;
        pub use crate::store::sqlite::literal::bytes;
    }
}
