//! The handlers, and one way to call each of them.

use std::pin::Pin;

use idem_runtime::{Begin, Error, Outbox, Outcome, idempotent, outbox};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, raw_sql};

use super::{Conn, Pool, SESSION};
use crate::model::{Deed, Done, Order, Refusal, end, failure};
use crate::stage::{Stage, Verdict};

type Handled = Result<Outcome<i64>, Error<sqlx::Error>>;

/// A handler, and what its transaction comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Which {
    /// Waits for another delivery, 20 seconds at most.
    Apply,
    /// The same, on a connection in place of a pool.
    ApplyOnConnection,
    /// Does not wait.
    Concurrent,
    /// Waits one second at most.
    Soon,
    /// Runs again after a conflict.
    Retried,
    /// Stores no result.
    Skipped,
    /// Returns text where `Apply` returns a number.
    OtherType,
    /// Records a permanent error, which is what a refusal is to it.
    Recorded,
    /// The same, for which a refusal is transient.
    RecordedIfClosed,
    /// Handles the order `p` with `Apply`, in its own transaction.
    Outer,
    /// Handles the same order with `Apply`, in its own transaction, and runs again after a conflict
    /// in there.
    OuterRetried,
    /// Has an outbox and no key.
    Keyless,
}

/// Delivers an order, and tells how the call ended.
pub(crate) async fn deliver(which: Which, pool: &Pool, order: &Order, stage: &Stage) -> String {
    match which {
        Which::Apply => end(apply(pool, order, stage).await),
        Which::ApplyOnConnection => {
            let mut conn = pool.acquire().await.unwrap();
            end(apply(&mut conn, order, stage).await)
        }
        Which::Concurrent => end(at_once(pool, order, stage).await),
        Which::Soon => end(soon(pool, order, stage).await),
        Which::Retried => end(retried(pool, order, stage).await),
        Which::Skipped => end(skipped(pool, order, stage).await),
        Which::OtherType => end(other_type(pool, order, stage).await),
        Which::Recorded => end(recorded(pool, order, stage, true).await),
        Which::RecordedIfClosed => end(recorded(pool, order, stage, false).await),
        Which::Outer => end(outer(pool, order, stage).await),
        Which::OuterRetried => end(outer_retried(pool, order, stage).await),
        Which::Keyless => match keyless(pool, order, stage).await {
            Ok(value) => format!("Ok({value})"),
            Err(error) => failure(&error),
        },
    }
}

/// What each deploy of the handler does.
async fn emit_and_perform(
    tx: &mut Conn,
    outbox: &mut Outbox<Done>,
    order: &Order,
    stage: &Stage,
) -> Result<i64, sqlx::Error> {
    emit(outbox, order);
    perform(tx, order, stage).await
}

idem_tests::deploys! {
    [key = order.id, scope = "anomalies.apply"]

    apply [fingerprint = order.cents, in_flight = "wait 20s"]
    #[outbox]
    (tx: &mut Conn, outbox: &mut Outbox<Done>, order: &Order, stage: &Stage)
    -> Result<i64, sqlx::Error> { emit_and_perform(tx, outbox, order, stage).await }

    at_once [fingerprint = order.cents, in_flight = "fail"]
    #[outbox]
    (tx: &mut Conn, outbox: &mut Outbox<Done>, order: &Order, stage: &Stage)
    -> Result<i64, sqlx::Error> { emit_and_perform(tx, outbox, order, stage).await }

    soon [fingerprint = order.cents, in_flight = "wait 1s"]
    #[outbox]
    (tx: &mut Conn, outbox: &mut Outbox<Done>, order: &Order, stage: &Stage)
    -> Result<i64, sqlx::Error> { emit_and_perform(tx, outbox, order, stage).await }

    retried [fingerprint = order.cents, retry = 8]
    #[outbox]
    (tx: &mut Conn, outbox: &mut Outbox<Done>, order: &Order, stage: &Stage)
    -> Result<i64, sqlx::Error> { emit_and_perform(tx, outbox, order, stage).await }

    skipped [on_duplicate = "skip"]
    #[outbox]
    (tx: &mut Conn, outbox: &mut Outbox<Done>, order: &Order, stage: &Stage)
    -> Result<i64, sqlx::Error> { emit_and_perform(tx, outbox, order, stage).await }

    other_type [fingerprint = order.cents]
    #[outbox]
    (tx: &mut Conn, outbox: &mut Outbox<Done>, order: &Order, stage: &Stage)
    -> Result<String, sqlx::Error> {
        let cents = emit_and_perform(tx, outbox, order, stage).await?;
        Ok(format!("{cents} cents"))
    }
}

#[idempotent(key = "order.id", scope = "anomalies.recorded", on_error = "record")]
#[outbox]
async fn recorded(
    tx: &mut Conn,
    outbox: &mut Outbox<Done>,
    order: &Order,
    stage: &Stage,
    permanent: bool,
) -> Result<i64, Refusal> {
    emit(outbox, order);
    let refusal = if permanent {
        Refusal::Closed
    } else {
        Refusal::Busy
    };
    perform(tx, order, stage).await.map_err(|_| refusal)
}

idem_tests::deploys! {
    [key = order.id, scope = "anomalies.outer"]

    outer [in_flight = "wait 20s"]
    (tx: &mut Conn, order: &Order, stage: &Stage) -> Result<i64, Error<sqlx::Error>> {
        let inner = apply(&mut *tx, &Order::plain("p"), &Stage::new()).await?;
        let own = perform(tx, order, stage).await;
        let own = own.map_err(|error| Error::Handler { error, replayed: false })?;
        Ok(own + inner.into_inner())
    }

    outer_retried [retry = 8]
    (tx: &mut Conn, order: &Order, stage: &Stage) -> Result<i64, Error<sqlx::Error>> {
        let inner = apply(tx, order, stage).await?;
        Ok(inner.into_inner())
    }
}

#[outbox]
pub(crate) async fn keyless(
    tx: &mut Conn,
    outbox: &mut Outbox<Done>,
    order: &Order,
    stage: &Stage,
) -> Result<i64, sqlx::Error> {
    emit(outbox, order);
    perform(tx, order, stage).await
}

fn emit(outbox: &mut Outbox<Done>, order: &Order) {
    outbox.emit(&Done {
        id: order.id.clone(),
    });
}

/// Breaks the recursion of types between a handler and a call of itself.
fn apply_again<'a>(
    tx: &'a mut Conn,
    order: &'a Order,
    stage: &'a Stage,
) -> Pin<Box<dyn Future<Output = Handled> + Send + 'a>> {
    Box::pin(apply(tx, order, stage))
}

async fn perform(tx: &mut Conn, order: &Order, stage: &Stage) -> Result<i64, sqlx::Error> {
    let mut first_time = false;
    if order.meets() {
        let session = raw_sql(SESSION).fetch_one(&mut *tx).await?.get(0);
        first_time = stage.enter(session);
    }
    let effect = format!("INSERT INTO effects (id) VALUES ('{}')", order.id);
    execute(tx, &effect).await?;
    let mut verdict = Verdict::Well;
    for deed in &order.deeds {
        match deed {
            Deed::Sql(text) => execute(tx, text).await?,
            Deed::Swallowed(text) => drop(execute(tx, text).await),
            Deed::Tried(text) => {
                let mut nested = tx.begin().await?;
                match execute(&mut nested, text).await {
                    Ok(()) => nested.commit().await?,
                    Err(_) => nested.rollback().await?,
                }
            }
            Deed::LeakOnce if !first_time => {}
            Deed::LeakNested | Deed::LeakOnce => std::mem::forget(tx.begin().await?),
            Deed::HandleAgain => {
                let again = Order::plain(&order.id);
                let inner = apply_again(tx, &again, stage).await;
                assert!(matches!(inner, Err(Error::Unfinished)), "{inner:?}");
            }
            Deed::Meet if first_time => verdict = stage.meet().await,
            Deed::MeetAgain if !first_time => {
                stage.meet().await;
            }
            Deed::Meet | Deed::MeetAgain => {}
        }
    }
    match verdict {
        Verdict::Well => Ok(order.cents),
        Verdict::Refused => Err(sqlx::Error::RowNotFound),
    }
}

pub(crate) async fn execute(conn: &mut Conn, text: &str) -> Result<(), sqlx::Error> {
    let statement = raw_sql(AssertSqlSafe(text.to_owned()));
    statement.execute(conn).await.map(drop)
}

/// Delivers an order without deeds to [`apply`].
pub(crate) async fn applied(origin: impl Begin<Conn>, order: &Order) -> String {
    end(apply(origin, order, &Stage::new()).await)
}
