//! A relay as a process of its own. It posts each event of a PostgreSQL outbox to an endpoint.
//!
//! ```console
//! export DATABASE_URL=postgres://user:password@localhost/shop
//! cargo run --example relay -- https://events.example.com/inbox
//! ```
//!
//! Start it as often as you like: the processes share the work. It ends by SIGTERM or Ctrl-C, after
//! the events that it is sending.

use std::env;

use anyhow::{Context as _, Result};
use idem_http::HttpPublisher;
use idem_runtime::{Relay, verify};
use sqlx::postgres::PgPoolOptions;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<()> {
    // What a relay does at night is in its log.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let endpoint = env::args().nth(1).context("usage: relay ENDPOINT")?;

    let pool = PgPoolOptions::new()
        .max_connections(4)
        .connect(&url)
        .await?;
    verify(&pool).await?;

    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! {
            _ = ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    let relay = Relay::new(pool.clone(), HttpPublisher::new(&endpoint)?);
    let stats = relay.run(shutdown).await?;
    pool.close().await;
    println!(
        "{} published, {} given up",
        stats.published, stats.dead_lettered
    );
    Ok(())
}
