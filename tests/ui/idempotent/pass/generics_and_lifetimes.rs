#![deny(warnings)]
use idem_tests::ui::*;

trait Entry {
    fn id(&self) -> &str;
}

#[idempotent(key = "entry.id()", scope = "ledger.post")]
async fn post<'a, 'tx, T: Entry + Sync, const N: usize>(
    tx: &'tx mut PgConnection,
    entry: &'a T,
    tags: [&'a str; N],
) -> Result<usize, AppError>
where
    T: Send,
{
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(entry.id().len() + tags.len())
}

#[idempotent(key = "(tenant, id)", scope = "ledger.note")]
async fn note(tx: &mut PgConnection, tenant: &str, id: impl Key + Send) -> Result<(), AppError> {
    drop(id);
    sqlx::query("SELECT 1")
        .bind(tenant)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

#[idempotent(key = "event.0")]
async fn borrowed<'a>(
    tx: &mut PgConnection,
    event: &(&'a str, &'a [u8]),
) -> Result<usize, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(event.1.len())
}

struct Named(String);

impl Entry for Named {
    fn id(&self) -> &str {
        &self.0
    }
}

async fn call(pool: PgPool) -> Result<usize, idem_runtime::Error<AppError>> {
    let name = Named("a".to_owned());
    let _ = note(&pool, "tenant", 7_u32).await?;
    Ok(post(&pool, &name, ["x", "y"]).await?.into_inner()
        + borrowed(&pool, &("a", b"b")).await?.into_inner())
}

fn assert_send(_: impl Send) {}

fn main() {
    let _ = |pool| assert_send(call(pool));
}
