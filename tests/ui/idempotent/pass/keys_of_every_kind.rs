#![deny(warnings)]
use idem_tests::ui::*;

#[derive(Key)]
struct OrderId(Uuid);

#[derive(Key)]
struct Tagged<T> {
    inner: T,
}

struct Message {
    id: OrderId,
    tenant: Tagged<String>,
    offset: u64,
    raw: Vec<u8>,
}

impl Message {
    fn checksum(&self) -> [u8; 32] {
        [7; 32]
    }
}

macro_rules! handlers {
    ($($name:ident $key:literal)*) => {$(
        #[idempotent(key = $key)]
        async fn $name(tx: &mut PgConnection, message: &Message) -> Result<(), AppError> {
            sqlx::query("SELECT $1").bind(message.offset.to_string()).execute(tx).await?;
            Ok(())
        }
    )*};
}

#[idempotent(key = "message.id")]
async fn derived(tx: &mut PgConnection, message: &Message) -> Result<(), AppError> {
    sqlx::query("SELECT $1")
        .bind(message.id.0)
        .execute(tx)
        .await?;
    Ok(())
}

#[idempotent(key = (&message.tenant, message.offset + 1, "suffix"))]
async fn tuple(tx: &mut PgConnection, message: &Message) -> Result<(), AppError> {
    sqlx::query("SELECT $1")
        .bind(&message.tenant.inner)
        .execute(tx)
        .await?;
    Ok(())
}

#[idempotent(key = "ContentHash::of(&message.raw)")]
async fn hashed(tx: &mut PgConnection, message: &Message) -> Result<(), AppError> {
    sqlx::query("SELECT $1")
        .bind(&message.raw)
        .execute(tx)
        .await?;
    Ok(())
}

#[idempotent(key = "format!(\"{}-{}\", message.offset, message.offset)")]
async fn formatted(tx: &mut PgConnection, message: &Message) -> Result<(), AppError> {
    sqlx::query("SELECT $1")
        .bind(&message.raw)
        .execute(tx)
        .await?;
    Ok(())
}

#[idempotent(key = "message.checksum()[..16]")]
async fn sliced(tx: &mut PgConnection, message: &Message) -> Result<(), AppError> {
    sqlx::query("SELECT $1")
        .bind(&message.raw)
        .execute(tx)
        .await?;
    Ok(())
}

#[idempotent(key = "id")]
async fn destructured(
    tx: &mut PgConnection,
    Payment { id, account, .. }: &Payment,
) -> Result<(), AppError> {
    sqlx::query("SELECT $1")
        .bind(account)
        .bind(id)
        .execute(tx)
        .await?;
    Ok(())
}

#[idempotent(key = "event", fingerprint = "event.len() as u64")]
async fn itself(tx: &mut PgConnection, event: String) -> Result<String, AppError> {
    sqlx::query("SELECT $1").bind(&event).execute(tx).await?;
    Ok(event)
}

handlers! {
    in_a_macro "message.offset"
    in_a_macro_too "message.raw"
}

fn main() {
    let _ = |pool: PgPool, message: Message, event: Payment| {
        drop(async move {
            (
                derived(&pool, &message).await,
                tuple(&pool, &message).await,
                hashed(&pool, &message).await,
                formatted(&pool, &message).await,
                sliced(&pool, &message).await,
                destructured(&pool, &event).await,
                itself(&pool, String::new()).await,
                in_a_macro(&pool, &message).await,
                in_a_macro_too(&pool, &message).await,
            )
        })
    };
}
