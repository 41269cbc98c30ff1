//! What the macros write passes the strictest lints of the crate that they write it into.
//!
//! Compiling is half of the test; the other half is `cargo clippy --all-targets`. No crate of the
//! repository may be unsafe itself.

#![deny(warnings, clippy::all, clippy::pedantic)]
#![forbid(unsafe_code)]

use idem_runtime::{
    BatchOutbox, ContentHash, Event, Handler, Key, Outbox, Outcome, Received, idempotent, outbox,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};

/// A message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Payment {
    id: PaymentId,
    account: i64,
    cents: i64,
}

/// Its key.
#[derive(Debug, Clone, Key, Serialize, Deserialize)]
pub struct PaymentId(String);

/// A result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipt {
    account: i64,
}

/// An event.
#[derive(Debug, Clone, Serialize, Event)]
#[event(topic = "payments.settled", key = "(account, cents)")]
pub struct Settled {
    account: i64,
    cents: i64,
}

/// Applies a payment.
///
/// # Errors
/// The database's.
#[idempotent(key = "event.id", handler = Apply)]
pub async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, sqlx::Error> {
    sqlx::query("SELECT $1")
        .bind(event.cents)
        .execute(&mut *tx)
        .await?;
    Ok(Receipt {
        account: event.account,
    })
}

/// Claims, and nothing else.
///
/// # Errors
/// The database's.
#[idempotent(key = "id", on_duplicate = "skip")]
pub async fn claim(_tx: &mut PgConnection, id: i64) -> Result<(), sqlx::Error> {
    Ok(())
}

/// Settles a payment.
///
/// # Errors
/// The database's.
#[idempotent(
    key = "(&event.id, &event.data.account)",
    scope = "payments.settle",
    fingerprint = "ContentHash::of(event.data.cents.to_le_bytes())",
    on_duplicate = "skip",
    in_flight = "fail",
    retention = "30d",
    retry = 3,
    hash_key,
    handler = Settle
)]
#[outbox]
pub async fn settle(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Settled>,
    event: &Received<Payment>,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    outbox.emit(&Settled {
        account: event.data.account,
        cents: event.data.cents,
    });
    Ok(())
}

/// Publishes a payment.
///
/// # Errors
/// The database's.
#[outbox(topic = "payments.settled", key = "event.account")]
pub async fn publish(tx: &mut PgConnection, event: &Payment) -> Result<Settled, sqlx::Error> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(Settled {
        account: event.account,
        cents: event.cents,
    })
}

/// Settles payments.
///
/// # Errors
/// The database's.
#[idempotent(key = "event.id", batch = "event in events", retry = 1, handler = SettleAll)]
#[outbox]
pub async fn settle_all(
    tx: &mut PgConnection,
    outbox: &mut BatchOutbox<Settled>,
    events: &[&Payment],
) -> Result<Vec<Receipt>, sqlx::Error> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    for (place, event) in events.iter().enumerate() {
        outbox.of(place).emit(&Settled {
            account: event.account,
            cents: event.cents,
        });
    }
    let receipt = |event: &&Payment| Receipt {
        account: event.account,
    };
    Ok(events.iter().map(receipt).collect())
}

/// Posts payments.
#[derive(Debug)]
pub struct Ledger {
    fee: i64,
}

impl Ledger {
    /// Posts a payment.
    ///
    /// # Errors
    /// The database's.
    #[idempotent(key = "event.id", scope = "ledger.post", retry = 2)]
    pub async fn post(
        &self,
        tx: &mut PgConnection,
        mut event: Payment,
    ) -> Result<Receipt, sqlx::Error> {
        sqlx::query("SELECT 1").execute(&mut *tx).await?;
        event.account += self.fee;
        let moved = event;
        Ok(Receipt {
            account: moved.account,
        })
    }
}

/// # Errors
/// Any handler's.
pub async fn call_all(
    pool: &PgPool,
    payment: Payment,
) -> Result<i64, idem_runtime::Error<sqlx::Error>> {
    let account = apply(pool, &payment).await?.into_inner().account;
    let settled = settle(pool, &Received::new("evt_1", payment.clone())).await?;
    let published = publish(pool, &payment).await?;
    let settled_all = settle_all(pool, &[&payment]).await?;
    let posted = Ledger { fee: 1 }.post(pool, payment).await?;
    Ok(match (settled, posted) {
        (Outcome::Executed(()), Outcome::Replayed(receipt)) => receipt.account,
        _ => account + published.cents + i64::from(settled_all.is_empty()),
    })
}

#[test]
fn a_scope_is_the_path_of_its_handler_unless_it_is_pinned() {
    assert_eq!(Apply::SCOPE, "lints::apply");
    assert_eq!(Settle::SCOPE, "payments.settle");
    assert_eq!(SettleAll::SCOPE, "lints::settle_all");
}

#[test]
fn every_crate_of_the_repository_forbids_unsafe_code() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).ok();
    let forbids = "unsafe_code = \"forbid\"";
    assert!(read(&root.join("Cargo.toml")).is_some_and(|workspace| workspace.contains(forbids)));
    let folders = std::fs::read_dir(&root).unwrap();
    let manifests: Vec<_> = folders
        .map(|folder| folder.unwrap().path().join("Cargo.toml"))
        .filter_map(|path| Some((read(&path)?, path)))
        .collect();
    assert!(manifests.len() >= 6, "{manifests:?}");
    for (manifest, path) in manifests {
        let inherits = manifest.contains("[lints]\nworkspace = true");
        assert!(inherits || manifest.contains(forbids), "{}", path.display());
    }
}
