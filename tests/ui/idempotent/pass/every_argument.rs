#![deny(warnings)]
use idem_runtime::{Classify, Disposition, Error, Handler};
use idem_tests::ui::*;

#[derive(Debug, Serialize, Deserialize)]
pub enum PaymentError {
    AccountClosed,
    Database,
}

impl std::fmt::Display for PaymentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the payment failed")
    }
}

impl std::error::Error for PaymentError {}

impl From<sqlx::Error> for PaymentError {
    fn from(_: sqlx::Error) -> Self {
        Self::Database
    }
}

impl Classify for PaymentError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::AccountClosed => Disposition::DeadLetter,
            Self::Database => Disposition::Retry,
        }
    }
}

pub struct Prices {
    pub fee: i64,
}

/// Applies a payment.
#[idempotent(
    key = "(event.data.account, event.data.id)",
    scope = "payments.apply",
    fingerprint = "event.data.cents",
    on_duplicate = "replay",
    on_error = "record",
    in_flight = "wait 5s",
    retention = "90d",
    retry = 3,
    isolation = "serializable",
    result_version = 2,
    hash_key,
    handler = Apply,
    crate = "::idem_runtime",
)]
pub async fn apply(
    tx: &mut PgConnection,
    event: &Received<Payment>,
    prices: &Prices,
) -> Result<Receipt, PaymentError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    if event.data.cents < prices.fee {
        return Err(PaymentError::AccountClosed);
    }
    Ok(Receipt {
        account: event.data.account,
    })
}

async fn consume<H: Handler<Database = Postgres, Message = Payment, Context = Prices>>(
    pool: PgPool,
    received: Received<Payment>,
    prices: Prices,
) -> Result<Outcome<H::Output, H::Replay>, Error<H::Error>> {
    H::call(&pool, &received, &prices).await
}

fn assert_send(_: impl Send) {}

fn main() {
    assert_eq!(Apply::SCOPE, "payments.apply");
    let _ = |pool, received, prices| assert_send(consume::<Apply>(pool, received, prices));
}
