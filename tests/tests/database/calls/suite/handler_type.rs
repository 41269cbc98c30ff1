//! Handlers as types: what a consumer of any handler does with them.

use idem_runtime::{Error, Handler, Outcome, Received, idempotent, lookup};
use sqlx::{AssertSqlSafe, raw_sql};
use tokio::task::JoinHandle;

use super::handlers::effect;
use super::{Conn, Db, Pool, claims, start};
use crate::model::{Ending, Order, Receipt, Refusal};

#[idempotent(
    key = "order.id",
    scope = "contract.handler",
    fingerprint = "order.cents",
    on_error = "record",
    handler = Plain
)]
async fn plain(tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> {
    effect(tx, &order.id).await?;
    match order.ending {
        Ending::Well => Ok(order.receipt()),
        Ending::Refused(refusal) => Err(refusal),
    }
}

#[idempotent(
    key = "order.id",
    scope = "contract.handler.retry",
    retry = 2,
    hash_key,
    handler = Retried
)]
async fn retried(tx: &mut Conn, order: &Received<Order>) -> Result<String, sqlx::Error> {
    let sql = format!("INSERT INTO effects (id) VALUES ('{}')", order.data.id);
    raw_sql(AssertSqlSafe(sql)).execute(tx).await?;
    Ok(order.id.clone())
}

struct Tenant(&'static str);

#[idempotent(
    key = "(tenant.0, order.id.as_str())",
    scope = "contract.handler.context",
    on_duplicate = "skip",
    handler = InContext
)]
async fn in_context(tx: &mut Conn, order: &Order, tenant: &Tenant) -> Result<usize, Refusal> {
    effect(tx, &format!("{} {}", tenant.0, order.id)).await?;
    Ok(1)
}

type Database = <Conn as sqlx::Connection>::Database;

type Ended<H> = Option<Outcome<<H as Handler>::Output, <H as Handler>::Replay>>;

/// What a consumer does that knows nothing of its handlers but that they are some.
fn spawn<H: Handler<Database = Database>>(
    pool: &Pool,
    received: Received<H::Message>,
    context: H::Context,
) -> JoinHandle<Ended<H>> {
    let pool = pool.clone();
    tokio::spawn(async move { H::call(&pool, &received, &context).await.ok() })
}

fn received(id: &str) -> Received<Order> {
    Received::new(format!("message of {id}"), Order::new(id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_of_any_handler_spawns_it() {
    let db = start().await;
    let receipt = Order::new("a").receipt();
    let first = spawn::<Plain>(&db.pool, received("a"), ());
    assert_eq!(
        first.await.unwrap(),
        Some(Outcome::Executed(receipt.clone()))
    );
    let again = spawn::<Plain>(&db.pool, received("a"), ());
    assert_eq!(again.await.unwrap(), Some(Outcome::Replayed(receipt)));

    let (one, other) = (
        spawn::<Retried>(&db.pool, received("b"), ()),
        spawn::<InContext>(&db.pool, received("c"), Tenant("acme")),
    );
    assert_eq!(
        one.await.unwrap(),
        Some(Outcome::Executed("message of b".into()))
    );
    assert_eq!(other.await.unwrap(), Some(Outcome::Executed(1)));
    let again = spawn::<InContext>(&db.pool, received("c"), Tenant("acme"));
    assert_eq!(again.await.unwrap(), Some(Outcome::Replayed(())));
    assert_eq!(db.effects().await, ["a", "acme c", "b"]);
}

/// Guards: the key in the `Handler` impl is the function's own.
#[test]
fn an_identity_follows_from_message_and_context_alone() {
    let of = |id: &str, tenant| InContext::identity(&received(id), &Tenant(tenant));
    assert_eq!(of("a", "acme"), of("a", "acme"));
    assert_ne!(of("a", "acme"), of("b", "acme"));
    assert_ne!(of("a", "acme"), of("a", "other"));
    assert!(of("a", "").is_empty() && !of("a", "acme").is_empty());
}

async fn looked_up(db: &Db, order: Order) -> Result<Option<Receipt>, Error<Refusal>> {
    lookup::<Plain>(&db.pool, &Received::new("m", order), &()).await
}

#[tokio::test]
async fn a_lookup_gets_what_a_duplicate_would_get_and_runs_nothing() {
    let db = start().await;
    let order = Order::new("o");
    assert!(matches!(looked_up(&db, order.clone()).await, Ok(None)));
    let empty = looked_up(&db, Order::new("")).await;
    assert!(matches!(empty, Err(Error::EmptyKey)), "{empty:?}");
    assert_eq!(claims(&db).await, []);

    let _ = plain(&db.pool, &order).await.unwrap();
    let found = looked_up(&db, order.clone()).await;
    assert_eq!(found.unwrap(), Some(order.receipt()));
    let other = looked_up(&db, Order::of("o", 7)).await;
    assert!(
        matches!(other, Err(Error::FingerprintMismatch)),
        "{other:?}"
    );

    let closed = Order::refused("closed", Refusal::Closed);
    plain(&db.pool, &closed).await.unwrap_err();
    let found = looked_up(&db, closed).await.map_err(Error::into_handler);
    assert!(matches!(found, Err(Ok(Refusal::Closed))), "{found:?}");
    assert_eq!(db.effects().await, ["o"]);
}

#[tokio::test]
async fn a_lookup_under_skip_says_that_the_handler_ran() {
    let db = start().await;
    let received = received("o");
    let asked = || lookup::<InContext>(&db.pool, &received, &Tenant("acme"));
    assert_eq!(asked().await.unwrap(), None);
    let _ = in_context(&db.pool, &received.data, &Tenant("acme"))
        .await
        .unwrap();
    assert_eq!(asked().await.unwrap(), Some(()));
}

#[tokio::test]
async fn a_lookup_of_what_cannot_be_read_says_why() {
    let db = start().await;
    let order = Order::new("o");
    let _ = plain(&db.pool, &order).await.unwrap();
    db.execute("UPDATE idem_keys SET result_version = 2").await;
    let found = looked_up(&db, order.clone()).await;
    assert!(matches!(found, Err(Error::ResultUndecodable)), "{found:?}");
    db.execute("UPDATE idem_keys SET state = 0").await;
    let found = looked_up(&db, order.clone()).await;
    assert!(matches!(found, Err(Error::Unfinished)), "{found:?}");
    db.execute("DROP TABLE idem_keys").await;
    let found = looked_up(&db, order).await;
    assert!(matches!(found, Err(Error::NotMigrated)), "{found:?}");
}
