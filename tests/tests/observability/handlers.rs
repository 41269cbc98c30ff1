//! Handlers that end in each way, and whose every value is a secret.

use std::fmt;

use idem_runtime::{Classify, Disposition, Event, Outbox, idempotent, outbox};
use serde::{Deserialize, Serialize};
use sqlx::Executor as _;
use tokio::sync::Notify;

use super::Conn;

/// What must not be found in any log, as text or in hexadecimal.
pub(crate) const KEY: &str = "secret-key";
pub(crate) const SECRETS: [&str; 2] = ["secret", "7365637265742d"];

/// Told when a delivery that hangs has come as far as its body.
pub(crate) static HANGS: Notify = Notify::const_new();

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Succeed,
    Fail,
    Commit,
    Panic,
    Hang,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) number: u32,
    pub(crate) amount: u32,
    pub(crate) act: Act,
}

impl Delivery {
    pub(crate) fn key(&self) -> String {
        format!("{KEY}-{}", self.number)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) text: String,
}

#[derive(Serialize, Event)]
#[event(topic = "ledger.posted", key = "to")]
pub(crate) struct Posted {
    pub(crate) to: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) text: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Classify for Refused {
    fn disposition(&self) -> Disposition {
        Disposition::DeadLetter
    }
}

impl From<sqlx::Error> for Refused {
    fn from(_: sqlx::Error) -> Self {
        let text = "secret-error".into();
        Self { text }
    }
}

#[idempotent(
    key = "delivery.key()",
    scope = "payments.apply",
    fingerprint = "format!(\"secret-amount-{}\", delivery.amount)",
    in_flight = "fail"
)]
#[outbox]
pub(crate) async fn apply(
    tx: &mut Conn,
    outbox: &mut Outbox<Posted>,
    delivery: Delivery,
) -> Result<Receipt, Refused> {
    tracing::info!("in the body");
    outbox.emit_with(
        &Posted {
            to: "secret-recipient".into(),
        },
        &[("note", "secret-note")],
    );
    let text = "secret-receipt".into();
    match delivery.act {
        Act::Succeed => Ok(Receipt { text }),
        Act::Fail => Err(Refused { text }),
        Act::Commit => {
            tx.execute("COMMIT").await?;
            Ok(Receipt { text })
        }
        Act::Panic => panic!("in the body"),
        Act::Hang => {
            HANGS.notify_one();
            std::future::pending::<()>().await;
            Ok(Receipt { text })
        }
    }
}

#[idempotent(key = "delivery.key()", scope = "payments.refuse", on_error = "record")]
pub(crate) async fn refuse(tx: &mut Conn, delivery: Delivery) -> Result<(), Refused> {
    tx.execute("SELECT 1").await?;
    let text = format!("secret-{delivery:?}");
    Err(Refused { text })
}

/// An error that JSON can't hold.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Unstorable {
    pub(crate) marker: Option<()>,
}

impl Classify for Unstorable {
    fn disposition(&self) -> Disposition {
        Disposition::DeadLetter
    }
}

#[idempotent(
    key = "delivery.key()",
    scope = "payments.decline",
    on_error = "record"
)]
pub(crate) async fn decline(_tx: &mut Conn, delivery: Delivery) -> Result<(), Unstorable> {
    let marker = matches!(delivery.act, Act::Fail).then_some(());
    Err(Unstorable { marker })
}

/// A result that JSON can't hold.
#[idempotent(key = "delivery.key()", scope = "payments.weigh")]
pub(crate) async fn weigh(_tx: &mut Conn, delivery: Delivery) -> Result<f64, sqlx::Error> {
    Ok(f64::from(delivery.amount) / 0.0)
}

#[outbox(scope = "users.register", topic = "users.registered")]
pub(crate) async fn register(tx: &mut Conn) -> Result<Receipt, sqlx::Error> {
    tx.execute("SELECT 1").await?;
    let text = "secret-user".into();
    Ok(Receipt { text })
}

pub(crate) fn delivery(number: u32, act: Act) -> Delivery {
    let amount = 1;
    Delivery {
        number,
        amount,
        act,
    }
}
