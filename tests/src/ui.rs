//! What the cases in `tests/ui` share.

use std::fmt;

pub use idem_runtime::{
    BatchEntry, BatchOutbox, ContentHash, Event, Key, Outbox, Outcome, Received, idempotent, outbox,
};
pub use serde::{Deserialize, Serialize};
pub use sqlx::{PgConnection, PgPool, Postgres, Transaction};
pub use uuid::Uuid;

/// A message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payment {
    /// Minted by the producer.
    pub id: Uuid,
    /// Whose money.
    pub account: i64,
    /// How much.
    pub cents: i64,
    /// No key: not the same everywhere.
    pub rate: f64,
    /// No key: not always there.
    pub batch: Option<String>,
}

impl Payment {
    /// Takes the message apart.
    pub fn into_id(self) -> Uuid {
        self.id
    }
}

/// A result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// Whose money.
    pub account: i64,
}

/// An event.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(topic = "payments.settled", key = "account")]
pub struct Settled {
    /// Whose money.
    pub account: i64,
}

/// Another event.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(topic = "payments.refunded")]
pub struct Refunded {
    /// Whose money.
    pub account: i64,
}

/// A handler's own error.
#[derive(Debug)]
pub struct AppError(sqlx::Error);

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for AppError {}

impl From<sqlx::Error> for AppError {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}
