//! One handler on one database: a payment that is delivered three times takes effect once.
//!
//! ```console
//! cargo run --example first
//! ```

use idem_runtime::{Outcome, idempotent, migrate};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnection, SqlitePoolOptions};

/// A message. Its producer minted the ID, so every delivery of it has the same one.
struct Payment {
    id: String,
    cents: i64,
}

/// What the handler returns. It is stored, and duplicates get it, too.
#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    balance: i64,
}

/// Runs in one transaction with the record that this payment was handled.
#[idempotent(key = "payment.id")]
async fn apply_payment(
    tx: &mut SqliteConnection,
    payment: &Payment,
) -> Result<Receipt, sqlx::Error> {
    let balance = sqlx::query_scalar("UPDATE account SET balance = balance + ? RETURNING balance")
        .bind(payment.cents)
        .fetch_one(&mut *tx)
        .await?;
    Ok(Receipt { balance })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // In memory, so there is one connection: another one would have a database of its own.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect("sqlite::memory:")
        .await?;
    migrate(&pool).await?;
    sqlx::raw_sql("CREATE TABLE account (balance INTEGER); INSERT INTO account VALUES (0)")
        .execute(&pool)
        .await?;

    let payment = Payment {
        id: "payment-1".into(),
        cents: 1_250,
    };
    for delivery in 1..=3 {
        match apply_payment(&pool, &payment).await? {
            Outcome::Executed(receipt) => println!("delivery {delivery}: executed, {receipt:?}"),
            Outcome::Replayed(receipt) => println!("delivery {delivery}: replayed, {receipt:?}"),
        }
    }
    let balance: i64 = sqlx::query_scalar("SELECT balance FROM account")
        .fetch_one(&pool)
        .await?;
    println!("balance: {balance}");
    Ok(())
}
