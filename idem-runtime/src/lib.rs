//! Effectively-once message handlers on sqlx and tokio.

// The name under which the macros' expansions find this crate, in its own tests too.
#[allow(unused_extern_crates)]
extern crate self as idem_runtime;

mod begin;
mod call;
mod codec;
mod conflict;
mod contract;
mod error;
mod event;
mod handler;
mod in_flight;
mod key;
mod message;
mod outbox;
mod outcome;
mod returned;
mod run;
mod schema;
mod session;
mod spec;
mod store;
mod telemetry;
mod unlogged;
mod verify;

pub use begin::Begin;
pub use contract::DoubledScope;
pub use error::{Classify, Disposition, Error};
pub use event::{Emits, Event, EventId, EventSet, OrderingKey};
pub use handler::Handler;
#[cfg(feature = "macros")]
pub use idem_macros::{Event, Key, idempotent, outbox};
pub use key::{ContentHash, Key, KeyWriter};
pub use message::{Headers, Message, Received};
pub use outbox::Outbox;
pub use outcome::Outcome;
pub use schema::{Purged, migrate, purge};
#[cfg(feature = "metrics")]
pub use telemetry::metrics::describe_metrics;
pub use verify::{VerifyError, verify};

/// What expansions call. Not for people: no promise is made about it.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use serde::Serialize;
    pub use sqlx::Connection;

    pub use crate::call::{
        Call, Encoded, Transaction, call, key, key_type, ordering_key, transaction,
    };
    pub use crate::codec::{OnDuplicate, OnError, record, replay, rollback, skip};
    pub use crate::conflict::{Probe, ViaError, ViaLocal, ViaNothing, ViaShared};
    pub use crate::contract::{Contract, Refused, check_contracts};
    pub use crate::event::EventSet;
    pub use crate::returned::Returned;
    pub use crate::spec::Spec;
}
