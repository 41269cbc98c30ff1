#![deny(warnings)]
use idem_runtime::{Classify, Disposition};
use idem_tests::ui::*;

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum PaymentError {
    #[error("the account is closed")]
    AccountClosed,
    #[error(transparent)]
    #[serde(skip)]
    Database(#[from] sqlx::Error),
}

impl Classify for PaymentError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::AccountClosed => Disposition::DeadLetter,
            Self::Database(_) => Disposition::Retry,
        }
    }
}

#[idempotent(key = "event.id", on_error = "record", retry = 3, handler = Apply)]
pub async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<i64, PaymentError> {
    if event.cents < 0 {
        return Err(PaymentError::AccountClosed);
    }
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(event.account)
}

fn main() {}
