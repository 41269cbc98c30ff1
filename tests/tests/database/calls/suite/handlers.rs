//! The handlers, and what their tests look at.

use idem_runtime::{Key, Outbox, idempotent, outbox};
use sqlx::{AssertSqlSafe, Row as _, raw_sql};

use super::{CLAIMS, Conn, Db, EMITTED, Pool, empty};
use crate::model::{
    Claim, Emitted, Ending, MailDue, Meeting, Order, Placed, Receipt, Refusal, Ticket,
};

/// A migrated database with the handlers' own table.
pub(crate) async fn start() -> Db {
    let db = empty(4).await;
    db.migrate().await;
    db.execute("CREATE TABLE effects (id VARCHAR(64) NOT NULL)")
        .await;
    db
}

pub(crate) async fn claims(db: &Db) -> Vec<Claim> {
    let rows = raw_sql(CLAIMS).fetch_all(&db.pool).await.unwrap();
    rows.iter()
        .map(|row| Claim {
            scope: row.get(0),
            key: row.get(1),
            fingerprint: row.get(2),
            state: row.get(3),
            result_version: row.get(4),
            result: row.get(5),
            kept_hours: row.get(6),
        })
        .collect()
}

pub(crate) async fn outbox_rows(db: &Db) -> Vec<Emitted> {
    let rows = raw_sql(EMITTED).fetch_all(&db.pool).await.unwrap();
    rows.iter()
        .map(|row| Emitted {
            id: row.get(0),
            topic: row.get(1),
            key: row.get(2),
            kind: row.get(3),
            payload: row.get(4),
            content_type: row.get(5),
            headers: row.get(6),
        })
        .collect()
}

pub(crate) async fn effect(tx: &mut Conn, id: &str) -> Result<(), Refusal> {
    let sql = format!("INSERT INTO effects (id) VALUES ('{id}')");
    raw_sql(AssertSqlSafe(sql)).execute(tx).await?;
    Ok(())
}

async fn perform(tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> {
    effect(tx, &order.id).await?;
    match order.ending {
        Ending::Well => Ok(order.receipt()),
        Ending::Refused(refusal) => Err(refusal),
    }
}

#[idempotent(key = "order.id", scope = "contract.apply")]
pub(crate) async fn apply(tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> {
    perform(tx, order).await
}

/// Another handler: the scopes of the two differ by case alone.
#[idempotent(key = "order.id", scope = "contract.APPLY")]
pub(crate) async fn apply_elsewhere(tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> {
    perform(tx, order).await
}

idem_tests::deploys! {
    [key = order.id, scope = "contract.skip"]

    skip [on_duplicate = "skip"]
    (tx: &mut Conn, order: &Order) -> Result<Ticket, Refusal> {
        perform(tx, order).await.map(|receipt| Ticket(receipt.order))
    }

    skip_no_more []
    (tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> { perform(tx, order).await }
}

idem_tests::deploys! {
    [key = order.id, scope = "contract.versions"]

    version_1 []
    (tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> { perform(tx, order).await }

    version_2 [result_version = 2]
    (tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> { perform(tx, order).await }

    version_forgotten []
    (tx: &mut Conn, order: &Order) -> Result<Vec<i64>, Refusal> {
        perform(tx, order).await.map(|receipt| vec![receipt.cents])
    }
}

idem_tests::deploys! {
    [key = order.id, scope = "contract.meet"]

    meet [in_flight = "wait 20s"]
    (tx: &mut Conn, order: &Order, meeting: &Meeting) -> Result<Receipt, Refusal> {
        meeting.arrive().await;
        perform(tx, order).await
    }

    meet_soon [in_flight = "wait 1s"]
    (tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> { perform(tx, order).await }

    meet_at_once [in_flight = "fail"]
    (tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> { perform(tx, order).await }
}

#[idempotent(key = "order.id", scope = "contract.nothing")]
pub(crate) async fn nothing(tx: &mut Conn, order: &Order) -> Result<Option<Receipt>, Refusal> {
    perform(tx, order).await.map(|_| None)
}

#[idempotent(key = "order.id", scope = "contract.record", on_error = "record")]
pub(crate) async fn record(tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> {
    perform(tx, order).await
}

#[idempotent(
    key = "order.id",
    scope = "contract.fingerprint",
    fingerprint = "order.cents"
)]
pub(crate) async fn fingerprinted(tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> {
    perform(tx, order).await
}

#[idempotent(key = "order.id", scope = "contract.kept", retention = "30d")]
pub(crate) async fn kept_30_days(tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> {
    perform(tx, order).await
}

#[idempotent(
    key = "order.id",
    scope = "contract.hashed",
    fingerprint = "order.cents",
    hash_key
)]
#[outbox]
pub(crate) async fn hashed(
    tx: &mut Conn,
    outbox: &mut Outbox<Placed>,
    order: &Order,
) -> Result<Receipt, Refusal> {
    outbox.emit(&Placed {
        order: "o".into(),
        cents: order.cents,
    });
    perform(tx, order).await
}

#[idempotent(key = "order.id", scope = "contract.outer")]
pub(crate) async fn outer(tx: &mut Conn, order: &Order) -> Result<(Receipt, bool), Refusal> {
    let inner = Order::new(&format!("{}-inner", order.id));
    let ran = match apply(&mut *tx, &inner).await {
        Ok(outcome) => outcome.is_executed(),
        Err(_) => return Err(Refusal::Database),
    };
    perform(tx, order).await.map(|receipt| (receipt, ran))
}

/// Handlers as methods.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) name: &'static str,
}

impl Shop {
    #[idempotent(key = "(self.name, order.id.as_str())", scope = "contract.method")]
    pub(crate) async fn apply(&self, tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> {
        perform(tx, order).await.map(|receipt| Receipt {
            note: Some(self.name.into()),
            ..receipt
        })
    }
}

#[idempotent(key = "key", scope = "contract.key")]
pub(crate) async fn by_key<K: Key + Sync + ?Sized>(
    tx: &mut Conn,
    key: &K,
    id: &str,
) -> Result<String, Refusal> {
    effect(tx, id).await?;
    Ok(id.into())
}

#[idempotent(key = "order.id", scope = "contract.place")]
#[outbox]
pub(crate) async fn place(
    tx: &mut Conn,
    outbox: &mut Outbox<(Placed, MailDue)>,
    order: &Order,
) -> Result<Receipt, Refusal> {
    outbox.emit(&Placed {
        order: order.id.clone(),
        cents: order.cents,
    });
    outbox.emit(&MailDue {
        to: "it's \\ \"é\" \0 end".into(),
    });
    outbox.emit_with(
        &Placed {
            order: order.id.clone(),
            cents: -1,
        },
        &[("reason", "it's \\ \"é\"")],
    );
    perform(tx, order).await
}

#[outbox(topic = "orders.receipts", key = "order.id")]
#[idempotent(key = "order.id", scope = "contract.returned")]
pub(crate) async fn returned(tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> {
    perform(tx, order).await
}

#[outbox]
pub(crate) async fn keyless(
    tx: &mut Conn,
    outbox: &mut Outbox<Placed>,
    order: &Order,
) -> Result<Receipt, Refusal> {
    outbox.emit(&Placed {
        order: order.id.clone(),
        cents: order.cents,
    });
    perform(tx, order).await
}

#[outbox(topic = "orders.receipts")]
pub(crate) async fn keyless_returned(tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> {
    perform(tx, order).await
}

/// A transaction of the caller's.
pub(crate) async fn begin(
    pool: &Pool,
) -> sqlx::Transaction<'static, <Conn as sqlx::Connection>::Database> {
    pool.begin().await.unwrap()
}
