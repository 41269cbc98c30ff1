//! The handlers of the tests of batches.

use idem_runtime::{BatchOutbox, Outbox, Received, idempotent, outbox};
use sqlx::{AssertSqlSafe, raw_sql};

use super::Conn;
use super::handlers::effect;
use crate::model::{Ending, Meeting, Order, Placed, Receipt, Refusal};

/// The effects of all orders in one statement; the first refusal among them.
async fn perform_all(tx: &mut Conn, orders: &[&Order]) -> Result<Vec<Receipt>, Refusal> {
    insert_all(tx, orders).await?;
    let performed = orders.iter().map(|order| match order.ending {
        Ending::Well => Ok(order.receipt()),
        Ending::Refused(refusal) => Err(refusal),
    });
    performed.collect()
}

async fn insert_all(tx: &mut Conn, orders: &[&Order]) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = orders
        .iter()
        .map(|order| format!("('{}')", order.id))
        .collect();
    let sql = format!("INSERT INTO effects (id) VALUES {}", rows.join(", "));
    raw_sql(AssertSqlSafe(sql)).execute(tx).await.map(drop)
}

idem_tests::deploys! {
    [key = order.id, scope = "batches.apply"]

    apply_all [batch = "order in orders", fingerprint = order.cents, handler = ApplyAll]
    (tx: &mut Conn, orders: &[&Order]) -> Result<Vec<Receipt>, Refusal> {
        perform_all(tx, orders).await
    }

    apply_one [fingerprint = order.cents, handler = ApplyOne]
    (tx: &mut Conn, order: &Order) -> Result<Receipt, Refusal> {
        effect(tx, &order.id).await?;
        match order.ending {
            Ending::Well => Ok(order.receipt()),
            Ending::Refused(refusal) => Err(refusal),
        }
    }
}

pub(crate) use apply_all::ApplyAll;
pub(crate) use apply_one::ApplyOne;

idem_tests::deploys! {
    [key = order.id, scope = "batches.place", on_duplicate = "skip"]

    place_all [batch = "order in orders"]
    #[outbox]
    (tx: &mut Conn, outbox: &mut BatchOutbox<Placed>, orders: &[&Order]) -> Result<(), Refusal> {
        perform_all(tx, orders).await?;
        // In another order than that of the slice.
        for (place, order) in orders.iter().enumerate().rev() {
            for cents in [order.cents, 0] {
                let order = order.id.clone();
                outbox.of(place).emit(&Placed { order, cents });
            }
        }
        Ok(())
    }

    place_one [handler = PlaceOne]
    #[outbox]
    (tx: &mut Conn, outbox: &mut Outbox<Placed>, order: &Order) -> Result<(), Refusal> {
        effect(tx, &order.id).await?;
        for cents in [order.cents, 0] {
            let order = order.id.clone();
            outbox.emit(&Placed { order, cents });
        }
        Ok(())
    }
}

pub(crate) use place_one::PlaceOne;

#[idempotent(
    key = "order.id",
    scope = "batches.record",
    batch = "order in orders",
    on_error = "record"
)]
pub(crate) async fn record_all(tx: &mut Conn, orders: &[&Order]) -> Result<Vec<Receipt>, Refusal> {
    perform_all(tx, orders).await
}

#[idempotent(key = "order.id", scope = "batches.short", batch = "order in orders")]
pub(crate) async fn one_too_few(tx: &mut Conn, orders: &[&Order]) -> Result<Vec<Receipt>, Refusal> {
    let mut receipts = perform_all(tx, orders).await?;
    receipts.pop();
    Ok(receipts)
}

#[idempotent(
    key = "(tenant, order.id.as_str())",
    scope = "batches.received",
    batch = "order in orders",
    retry = 3,
    in_flight = "wait 1s"
)]
pub(crate) async fn tenants(
    tx: &mut Conn,
    orders: &[&Order],
    tenant: String,
) -> Result<Vec<String>, sqlx::Error> {
    insert_all(tx, orders).await?;
    let named = orders.iter().map(|order| format!("{tenant}/{}", order.id));
    Ok(named.collect())
}

/// Takes what a consumer has.
#[idempotent(
    key = "order.id",
    scope = "batches.envelopes",
    batch = "order in orders",
    handler = Envelopes
)]
pub(crate) async fn envelopes(
    tx: &mut Conn,
    orders: &[&Received<Order>],
) -> Result<Vec<String>, Refusal> {
    let inner: Vec<_> = orders.iter().map(|order| &order.data).collect();
    perform_all(tx, &inner).await?;
    Ok(orders.iter().map(|order| order.id.clone()).collect())
}

idem_tests::deploys! {
    [key = order.id, scope = "batches.meet"]

    meet_all [batch = "order in orders"]
    (tx: &mut Conn, orders: &[&Order], meeting: &Meeting) -> Result<Vec<Receipt>, Refusal> {
        meeting.arrive().await;
        perform_all(tx, orders).await
    }

    meet_all_soon [batch = "order in orders", in_flight = "wait 1s"]
    (tx: &mut Conn, orders: &[&Order]) -> Result<Vec<Receipt>, Refusal> {
        perform_all(tx, orders).await
    }
}
