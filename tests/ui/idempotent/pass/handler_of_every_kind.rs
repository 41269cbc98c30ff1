#![deny(warnings)]
use idem_runtime::{Handler, Identity};
use idem_tests::ui::*;
use std::time::Duration;

pub struct Prices {
    tenant: String,
}

/// Patterns, names of our own, and a context in the key.
#[idempotent(key = "(&message.tenant, id)", fingerprint = "cents", retention = "30d", handler = Apply)]
pub async fn apply(
    tx: &mut PgConnection,
    Payment { id, cents, .. }: &Payment,
    message: &Prices,
) -> Result<i64, AppError> {
    sqlx::query("SELECT $1")
        .bind(message.tenant.as_str())
        .bind(id)
        .execute(&mut *tx)
        .await?;
    Ok(*cents)
}

#[idempotent(key = "context.id", hash_key, on_duplicate = "skip", handler = Enveloped)]
pub async fn enveloped<'a>(
    tx: &mut PgConnection,
    context: &'a Received<Payment>,
) -> Result<(), AppError> {
    sqlx::query("SELECT $1")
        .bind(context.data.account)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

#[idempotent(key = "event.id", retry = 3, handler = Retried)]
pub async fn retried(tx: &mut PgConnection, event: &Payment) -> anyhow::Result<Receipt> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(Receipt {
        account: event.account,
    })
}

pub fn spawn<H: Handler<Database = Postgres, Context = ()>>(
    pool: PgPool,
    received: Received<H::Message>,
) -> tokio::task::JoinHandle<bool> {
    tokio::spawn(async move { H::call(&pool, &received, &()).await.is_ok() })
}

pub fn spawn_with<H: Handler<Database = Postgres>>(
    pool: PgPool,
    received: Received<H::Message>,
    context: H::Context,
) -> tokio::task::JoinHandle<Option<Outcome<H::Output, H::Replay>>> {
    tokio::spawn(async move { H::call(&pool, &received, &context).await.ok() })
}

fn payment(cents: i64) -> Received<Payment> {
    let (id, batch) = (Uuid::nil(), None);
    Received::new(
        "evt_1",
        Payment {
            id,
            account: 1,
            cents,
            rate: 1.0,
            batch,
        },
    )
}

fn main() {
    let tenant = |tenant: &str| Prices {
        tenant: tenant.into(),
    };
    let of =
        |cents, context: &str| -> Identity { Apply::identity(&payment(cents), &tenant(context)) };
    assert_eq!(of(1, "a"), of(2, "a"));
    assert_ne!(of(1, "a"), of(1, "b"));
    assert_eq!(Apply::RETENTION, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(Enveloped::RETENTION, None);
    assert_eq!([Apply::HASH_KEY, Enveloped::HASH_KEY], [false, true]);
    assert_eq!([Apply::BATCH, Apply::NATURAL], [false, false]);
    let _ = (spawn::<Enveloped>, spawn::<Retried>, spawn_with::<Apply>);
}
