//! A handler whose event is ordered by a number that the database draws, so that each execution has
//! another one.

use idem_runtime::{Event, Outbox, idempotent, outbox};
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, raw_sql};

use super::Conn;
use super::sound::without_twins;
use super::template::template;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Request {
    id: String,
}

#[derive(Serialize, Deserialize, Event)]
#[event(topic = "orders.numbered", key = "order")]
struct Numbered {
    order: i64,
}

#[idempotent(key = "request.id", scope = "generated.number", handler = Number)]
#[outbox]
async fn number(
    tx: &mut Conn,
    outbox: &mut Outbox<Numbered>,
    request: &Request,
) -> Result<i64, sqlx::Error> {
    let _ = request;
    let insert = raw_sql("INSERT INTO orders (customer) VALUES ('ada') RETURNING id");
    let order = insert.fetch_one(tx).await?.try_get(0)?;
    outbox.emit(&Numbered { order });
    Ok(order)
}

/// Guards: the event's ID does not follow from its ordering key. It would differ from one execution
/// to the next.
#[tokio::test]
async fn an_event_that_is_ordered_by_a_generated_number_holds() {
    let template = template().await;
    let request = Request { id: "evt-1".into() };
    let report = without_twins(template.url()).run::<Number>(&request).await;
    report.assert_holds();
}
