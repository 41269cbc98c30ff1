//! The service that keeps accounts: events in, entries in a ledger.
//!
//! Events come from a broker, or by HTTP into the service's own inbox. Each handler names one type
//! of event. What is delivered twice is entered once.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::body::Bytes;
use axum::extract::{Json, Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, serve};
use futures_util::FutureExt as _;
use idem_http::cloud_event;
use idem_runtime::{Consumer, Inbox, Received, Source, idempotent};
use serde::Serialize;
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

use crate::broker::Route;
#[cfg(feature = "nats")]
use crate::broker::nats;
#[cfg(feature = "rabbitmq")]
use crate::broker::rabbitmq;
use crate::events::{OrderCancelled, OrderPlaced};
use crate::service::{listen, open, shutdown};

/// `entries` has no unique constraint, so that an order which is entered twice can show.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, cents INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS entries (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        order_id TEXT NOT NULL, account TEXT NOT NULL, version INTEGER NOT NULL, cents INTEGER NOT NULL,
        at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)));";

#[idempotent(key = "(event.source, event.id)", scope = "ledger.placed", handler = Debit)]
async fn debit(
    tx: &mut SqliteConnection,
    event: &Received<OrderPlaced>,
) -> Result<(), sqlx::Error> {
    let OrderPlaced {
        order,
        account,
        version,
        cents,
    } = &event.data;
    enter(tx, order, account, *version, *cents).await
}

#[idempotent(key = "(event.source, event.id)", scope = "ledger.cancelled", handler = Credit)]
async fn credit(
    tx: &mut SqliteConnection,
    event: &Received<OrderCancelled>,
) -> Result<(), sqlx::Error> {
    let OrderCancelled {
        order,
        account,
        version,
        cents,
    } = &event.data;
    enter(tx, order, account, *version, -cents).await
}

async fn enter(
    tx: &mut SqliteConnection,
    order: &str,
    account: &str,
    version: i64,
    cents: i64,
) -> Result<(), sqlx::Error> {
    const CHANGE: &str = "
        INSERT INTO accounts (id, cents) VALUES ($1, $2)
        ON CONFLICT (id) DO UPDATE SET cents = cents + excluded.cents";
    sqlx::query("INSERT INTO entries (order_id, account, version, cents) VALUES ($1, $2, $3, $4)")
        .bind(order)
        .bind(account)
        .bind(version)
        .bind(cents)
        .execute(&mut *tx)
        .await?;
    sqlx::query(CHANGE)
        .bind(account)
        .bind(cents)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// The inbox's door. An answer 2xx says that the event is committed, and the relay forgets it.
async fn receive(State(service): State<Service>, headers: HeaderMap, body: Bytes) -> Response {
    let event = match cloud_event(&headers, body.into()) {
        Ok(event) => event,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    match service.inbox.store(event.into()).await {
        Ok(true) => StatusCode::ACCEPTED.into_response(),
        Ok(false) => {
            tracing::info!("an event came again");
            StatusCode::OK.into_response()
        }
        Err(error) => {
            tracing::warn!("an event was not stored: {error}");
            (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response()
        }
    }
}

/// What an account owes, and why.
#[derive(Serialize)]
struct Statement {
    cents: i64,
    entries: Vec<(String, i64)>,
}

async fn statement(State(service): State<Service>, UrlPath(account): UrlPath<String>) -> Response {
    const ENTRIES: &str = "SELECT order_id, cents FROM entries WHERE account = $1 ORDER BY number";
    let entries = sqlx::query_as::<_, (String, i64)>(ENTRIES).bind(account);
    match entries.fetch_all(&service.pool).await {
        Ok(entries) => {
            let cents = entries.iter().map(|(_, cents)| cents).sum();
            Json(Statement { cents, entries }).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

#[derive(Clone)]
struct Service {
    pool: SqlitePool,
    inbox: Inbox<Sqlite>,
}

/// The same handlers, wherever the events come from.
fn consumer<S: Source>(source: S) -> Consumer<S, Sqlite> {
    Consumer::new("ledger", source).on::<Debit>().on::<Credit>()
}

/// Runs until SIGTERM or Ctrl-C. Events come from where `route` says.
pub(crate) async fn run(database: &Path, address: SocketAddr, route: Route) -> Result<()> {
    let shutdown = shutdown()?;
    let pool = open(database, TABLES).await?;
    // What a killed ledger had in hand is handled again after that time.
    let inbox = Inbox::new(pool.clone(), "orders").lease(Duration::from_secs(5));

    let stop = shutdown.clone().cancelled_owned();
    let consumer = match &route {
        Route::Http { .. } => consumer(inbox.clone()).run(&pool, stop).boxed(),
        #[cfg(feature = "nats")]
        Route::Nats(broker) => consumer(nats::source(broker)?).run(&pool, stop).boxed(),
        #[cfg(feature = "rabbitmq")]
        Route::RabbitMq(broker) => consumer(rabbitmq::source(broker)?).run(&pool, stop).boxed(),
    };

    let service = Service {
        pool: pool.clone(),
        inbox,
    };
    let routes = Router::new()
        .route("/events", post(receive))
        .route("/accounts/{id}", get(statement))
        .with_state(service);
    let server =
        serve(listen(address).await?, routes).with_graceful_shutdown(shutdown.cancelled_owned());

    let ((), stats) = tokio::try_join!(
        async { server.await.context("the HTTP server ended") },
        async { consumer.await.context("the consumer ended") },
    )?;
    pool.close().await;
    tracing::info!(
        stats.handled,
        stats.failed,
        stats.dead_lettered,
        stats.unsettled,
        "ended"
    );
    Ok(())
}
