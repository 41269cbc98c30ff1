//! The service that takes orders: HTTP in, events out.
//!
//! An order, its place in the account and its event are committed together. A request that is
//! repeated with the same order ID gets the answer of the first one. The relay publishes the events
//! and, like the service, may be killed at any time.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use axum::extract::{Json, Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Router, serve};
use futures_util::FutureExt as _;
use idem_http::HttpPublisher;
use idem_runtime::{Classify, Disposition, Error, Outbox, Outcome, Relay, idempotent, outbox};
use serde::{Deserialize, Serialize};
use sqlx::{SqliteConnection, SqlitePool};

use crate::broker::Route;
#[cfg(feature = "nats")]
use crate::broker::nats;
#[cfg(feature = "rabbitmq")]
use crate::broker::rabbitmq;
use crate::events::{OrderCancelled, OrderPlaced};
use crate::service::{listen, open, shutdown};

/// `orders` has no unique constraint on the ID, so that an order which is placed twice can show.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, version INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS orders (
        id TEXT NOT NULL, account TEXT NOT NULL, cents INTEGER NOT NULL, placed INTEGER NOT NULL, cancelled INTEGER,
        at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)));
    CREATE INDEX IF NOT EXISTS orders_id ON orders (id);";

/// What a client sends. It minted the ID, and sends the same one until it has an answer.
#[derive(Debug, Deserialize)]
struct NewOrder {
    id: String,
    account: String,
    cents: i64,
}

/// The answer to a request, also to a repeated one.
#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    order: String,
    /// Which change of the account it was.
    version: i64,
}

#[idempotent(
    key = "order.id",
    fingerprint = "(order.account, order.cents)",
    scope = "orders.place"
)]
#[outbox]
async fn place_order(
    tx: &mut SqliteConnection,
    outbox: &mut Outbox<OrderPlaced>,
    order: &NewOrder,
) -> Result<Receipt, sqlx::Error> {
    let version = next_version(tx, &order.account).await?;
    sqlx::query("INSERT INTO orders (id, account, cents, placed) VALUES ($1, $2, $3, $4)")
        .bind(&order.id)
        .bind(&order.account)
        .bind(order.cents)
        .bind(version)
        .execute(&mut *tx)
        .await?;
    outbox.emit(&OrderPlaced {
        order: order.id.clone(),
        account: order.account.clone(),
        version,
        cents: order.cents,
    });
    Ok(Receipt {
        order: order.id.clone(),
        version,
    })
}

#[idempotent(key = "id", scope = "orders.cancel")]
#[outbox]
async fn cancel_order(
    tx: &mut SqliteConnection,
    outbox: &mut Outbox<OrderCancelled>,
    id: &str,
) -> Result<Receipt, CancelError> {
    let order = sqlx::query_as("SELECT account, cents FROM orders WHERE id = $1")
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
    let (account, cents): (String, i64) = order.ok_or(CancelError::NoSuchOrder)?;
    let version = next_version(tx, &account).await?;
    sqlx::query("UPDATE orders SET cancelled = $1 WHERE id = $2")
        .bind(version)
        .bind(id)
        .execute(&mut *tx)
        .await?;
    let order = id.to_owned();
    outbox.emit(&OrderCancelled {
        order: order.clone(),
        account,
        version,
        cents,
    });
    Ok(Receipt { order, version })
}

/// Locks the row that the ordering key names, so that events of an account have an order.
async fn next_version(tx: &mut SqliteConnection, account: &str) -> sqlx::Result<i64> {
    const NEXT: &str = "
        INSERT INTO accounts (id, version) VALUES ($1, 1)
        ON CONFLICT (id) DO UPDATE SET version = version + 1 RETURNING version";
    sqlx::query_scalar(NEXT).bind(account).fetch_one(tx).await
}

/// Why an order was not cancelled.
#[derive(Debug)]
enum CancelError {
    NoSuchOrder,
    Database(sqlx::Error),
}

impl Classify for CancelError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NoSuchOrder => Disposition::DeadLetter,
            Self::Database(_) => Disposition::Retry,
        }
    }

    fn database_error(&self) -> Option<&sqlx::Error> {
        match self {
            Self::NoSuchOrder => None,
            Self::Database(error) => Some(error),
        }
    }
}

impl fmt::Display for CancelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchOrder => f.write_str("there is no such order"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl From<sqlx::Error> for CancelError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

async fn place(State(pool): State<SqlitePool>, Json(order): Json<NewOrder>) -> Response {
    answer(place_order(&pool, &order).await)
}

async fn cancel(State(pool): State<SqlitePool>, UrlPath(id): UrlPath<String>) -> Response {
    answer(cancel_order(&pool, &id).await)
}

/// 201 for what was done now, 200 for what had been done before.
fn answer<E: Classify + fmt::Debug + fmt::Display>(
    result: Result<Outcome<Receipt>, Error<E>>,
) -> Response {
    match result {
        Ok(Outcome::Executed(receipt)) => (StatusCode::CREATED, Json(receipt)).into_response(),
        Ok(Outcome::Replayed(receipt)) => (StatusCode::OK, Json(receipt)).into_response(),
        Err(error) => {
            tracing::warn!("a request failed: {error}");
            let status = match error.disposition() {
                Disposition::Retry => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            (status, error.to_string()).into_response()
        }
    }
}

/// Runs until SIGTERM or Ctrl-C. Events go where `route` says.
pub(crate) async fn run(database: &Path, address: SocketAddr, route: Route) -> Result<()> {
    let shutdown = shutdown()?;
    let pool = open(database, TABLES).await?;

    let stop = shutdown.clone().cancelled_owned();
    let relay = match &route {
        Route::Http { url } => {
            let publisher = HttpPublisher::new(url).context("the ledger's URL")?;
            Relay::new(pool.clone(), publisher).run(stop).boxed()
        }
        #[cfg(feature = "nats")]
        Route::Nats(broker) => {
            let publisher = nats::publisher(broker)?;
            Relay::new(pool.clone(), publisher).run(stop).boxed()
        }
        #[cfg(feature = "rabbitmq")]
        Route::RabbitMq(broker) => {
            let publisher = rabbitmq::publisher(broker)?;
            Relay::new(pool.clone(), publisher).run(stop).boxed()
        }
    };

    let routes = Router::new()
        .route("/orders", post(place))
        .route("/orders/{id}/cancel", post(cancel))
        .with_state(pool.clone());
    let server =
        serve(listen(address).await?, routes).with_graceful_shutdown(shutdown.cancelled_owned());

    // Each ends by itself only with an error, which ends the service: whoever supervises it starts
    // it again.
    let ((), stats) = tokio::try_join!(
        async { server.await.context("the HTTP server ended") },
        async { relay.await.context("the relay ended") },
    )?;
    pool.close().await;
    tracing::info!(stats.published, stats.dead_lettered, "ended");
    Ok(())
}
