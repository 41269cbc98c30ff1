#![deny(warnings)]
use idem_runtime::{Error, Handler};
use idem_tests::ui::*;

pub struct Prices {
    tenant: String,
}

fn receipts(events: &[&Payment]) -> Vec<Receipt> {
    let receipt = |event: &&Payment| Receipt {
        account: event.account,
    };
    events.iter().map(receipt).collect()
}

/// A context in the key, and every argument that changes the expansion.
#[idempotent(
    key = "(prices.tenant.as_str(), event.id)",
    scope = "batches.apply",
    fingerprint = "event.cents",
    in_flight = "wait 5s",
    retention = "30d",
    result_version = 2,
    hash_key,
    batch = "event in events"
)]
pub async fn apply_all(
    tx: &mut PgConnection,
    events: &[&Payment],
    prices: &Prices,
) -> Result<Vec<Receipt>, AppError> {
    sqlx::query("SELECT $1")
        .bind(prices.tenant.as_str())
        .execute(&mut *tx)
        .await?;
    Ok(receipts(events))
}

#[idempotent(
    key = "event.id",
    batch = "event in events",
    retry = 3,
    isolation = "serializable",
    handler = ApplySerially
)]
pub async fn apply_serially(
    tx: &mut PgConnection,
    events: &[&Payment],
    prices: &Prices,
) -> anyhow::Result<Vec<String>> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    let named = events
        .iter()
        .map(|event| format!("{}/{}", prices.tenant, event.id));
    Ok(named.collect())
}

/// The variable of one event has the name of a context that the key does not use.
#[idempotent(key = "received.data.id", batch = "received in all", handler = Enveloped)]
#[outbox]
pub async fn enveloped(
    tx: &mut PgConnection,
    outbox: &mut BatchOutbox<(Settled, Refunded)>,
    all: &[&Received<Payment>],
) -> Result<Vec<i64>, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    for (place, received) in all.iter().enumerate() {
        let account = received.data.account;
        let mut outbox = outbox.of(place);
        let _id = outbox.emit(&Settled { account });
        outbox.emit_with(&Refunded { account }, &[("reason", "test")]);
    }
    Ok(all.iter().map(|received| received.data.cents).collect())
}

#[idem_runtime::outbox]
#[idem_runtime::idempotent(key = "event.id", batch = "event in events", on_duplicate = "skip")]
async fn skipped(
    mut tx: &mut PgConnection,
    outbox: &mut BatchOutbox<Settled>,
    mut events: &[&Payment],
) -> Result<(), AppError> {
    let reborrowed = &mut tx;
    sqlx::query("SELECT 1").execute(&mut **reborrowed).await?;
    while let [first, rest @ ..] = events {
        outbox.of(0).emit(&Settled {
            account: first.account,
        });
        events = rest;
    }
    Ok(())
}

/// A result without serde, since none is stored.
pub struct Unstored;

#[idempotent(key = "event.id", batch = "event in events", on_duplicate = "skip")]
async fn unstored(tx: &mut PgConnection, events: &[&Payment]) -> Result<Vec<Unstored>, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(events.iter().map(|_| Unstored).collect())
}

trait Entry {
    fn id(&self) -> &str;
}

struct Ledger {
    tenant: String,
}

impl Ledger {
    #[idempotent(
        key = "entry.id()",
        scope = "ledger.post",
        retry = 1,
        batch = "entry in entries"
    )]
    async fn post<'a, 'tx, T, const N: usize>(
        &self,
        tx: &'tx mut PgConnection,
        entries: &'a [&'a T],
        tags: [String; N],
    ) -> Result<Vec<String>, AppError>
    where
        T: Entry + Sync,
    {
        sqlx::query("SELECT 1").execute(&mut *tx).await?;
        let posted = entries
            .iter()
            .map(|entry| format!("{}/{}/{}", self.tenant, entry.id(), tags.concat()));
        Ok(posted.collect())
    }
}

/// Messages that borrow.
#[idempotent(key = "text.0", batch = "text in texts")]
async fn borrowed<'a>(
    tx: &mut PgConnection,
    texts: &[&(&'a str, &'a [u8])],
) -> Result<Vec<usize>, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(texts.iter().map(|text| text.1.len()).collect())
}

macro_rules! batches {
    ($($name:ident($connection:ty, $events:ident: $event:ty) -> $output:ty $body:block)*) => {$(
        #[idempotent(key = "event.id", batch = "event in events")]
        async fn $name(tx: &mut $connection, $events: &[&$event]) -> $output {
            sqlx::query("SELECT 1").execute(&mut *tx).await?;
            $body
        }
    )*};
}

batches! {
    made(PgConnection, events: Payment) -> Result<Vec<Receipt>, AppError> { Ok(receipts(events)) }
}

macro_rules! keyed {
    ($name:ident, $key:expr, $batch:literal) => {
        #[idempotent(key = $key, batch = $batch)]
        async fn $name(
            tx: &mut PgConnection,
            events: &[&Payment],
        ) -> Result<Vec<Receipt>, AppError> {
            sqlx::query("SELECT 1").execute(&mut *tx).await?;
            Ok(receipts(events))
        }
    };
}

keyed!(keyed, "event.id", "event in events");

macro_rules! mixed {
    ($name:ident, [$($key:tt)*], $($fingerprint:tt)*) => {
        #[idempotent(key = $($key)*, $($fingerprint)*, batch = "event in events")]
        async fn $name(
            tx: &mut PgConnection,
            events: &[&Payment],
        ) -> Result<Vec<Receipt>, AppError> {
            sqlx::query("SELECT 1").execute(&mut *tx).await?;
            Ok(receipts(events))
        }
    };
}

mixed!(mixed, [event.id], fingerprint = "event.cents");
mixed!(mixed_otherwise, ["event.id"], fingerprint = event.cents);

#[tracing::instrument(skip_all)]
#[idempotent(key = "event.id", batch = "event in events")]
async fn traced(tx: &mut PgConnection, events: &[&Payment]) -> Result<Vec<Receipt>, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(receipts(events))
}

#[idempotent(key = "event.id", batch = "event in events")]
#[tracing::instrument(skip_all)]
async fn traced_within(
    tx: &mut PgConnection,
    events: &[&Payment],
) -> Result<Vec<Receipt>, AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    Ok(receipts(events))
}

type Entries<T> = Result<Vec<BatchEntry<T, T, AppError>>, Error<AppError>>;

async fn call(pool: PgPool, events: Vec<Payment>, prices: Prices) -> Entries<Receipt> {
    let events: Vec<_> = events.iter().collect();
    let ledger = Ledger {
        tenant: prices.tenant.clone(),
    };
    let mut tx = pool.begin().await.map_err(Error::Store)?;
    let _ = skipped(&mut tx, &events).await?;
    let _ = unstored(&mut tx, &events).await?;
    let _ = borrowed(&mut tx, &[&("a", b"b")]).await?;
    tx.commit().await.map_err(Error::Store)?;
    let named = Named("a".to_owned());
    let _ = ledger.post(&pool, &[&named], ["x".to_owned()]).await?;
    let _ = made(&pool, &events).await?;
    let _ = keyed(&pool, &events).await?;
    let _ = mixed(&pool, &events).await?;
    let _ = mixed_otherwise(&pool, &events).await?;
    let _ = traced(&pool, &events).await?;
    let _ = traced_within(&pool, &events).await?;
    apply_all(&pool, &events, &prices).await
}

struct Named(String);

impl Entry for Named {
    fn id(&self) -> &str {
        &self.0
    }
}

/// As a consumer does.
pub fn spawn<H: Handler<Database = Postgres>>(
    pool: PgPool,
    received: Vec<Received<H::Message>>,
    context: H::Context,
) -> tokio::task::JoinHandle<bool> {
    tokio::spawn(async move {
        let received: Vec<_> = received.iter().collect();
        H::call_batch(&pool, &received, &context).await.is_ok()
    })
}

fn assert_send(_: impl Send) {}

fn main() {
    let _ = |pool, events, prices| assert_send(call(pool, events, prices));
    assert_eq!([ApplySerially::BATCH, Enveloped::BATCH], [true, true]);
    let _ = (spawn::<ApplySerially>, spawn::<Enveloped>);
}
