//! A relay as a process of its own. It posts each event of a PostgreSQL outbox to an endpoint.
//!
//! ```console
//! export DATABASE_URL=postgres://user:password@localhost/shop
//! cargo run --example relay -- https://events.example.com/inbox
//! ```
//!
//! Start it as often as you like: the processes share the work. SIGTERM or Ctrl-C ends it, once the
//! events that it is sending have their answers. While the endpoint is down it waits, and says so
//! on standard error. Any other error ends it with a status that is not 0: let a supervisor start
//! it again.
//!
//! An endpoint with `https` needs a TLS feature of reqwest, such as
//! `reqwest = { version = "0.13", features = ["rustls"] }` among the dependencies.

use std::env;

use anyhow::{Context as _, Result};
use idem_http::HttpPublisher;
use idem_runtime::{Relay, verify};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<()> {
    // A relay says in its log what goes wrong, and nowhere else.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let endpoint = env::args().nth(1).context(
        "usage: relay ENDPOINT, the URL that events are posted to; DATABASE_URL is the database",
    )?;
    let publisher = HttpPublisher::new(&endpoint).context("ENDPOINT can't be used")?;
    let database = database()?;

    // A pool would try for its whole timeout where nobody listens, and not say why it failed.
    let reached = database.connect().await;
    let (host, port) = (database.get_host(), database.get_port());
    let reached = reached.with_context(|| format!("can't connect to PostgreSQL, {host}:{port}"))?;
    reached.close().await?;
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .connect_with(database)
        .await?;
    verify(&pool).await?;

    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! {
            _ = ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    let stats = Relay::new(pool.clone(), publisher).run(shutdown).await?;
    pool.close().await;
    println!(
        "{} published, {} given up",
        stats.published, stats.dead_lettered
    );
    Ok(())
}

fn database() -> Result<PgConnectOptions> {
    const HELP: &str = "set DATABASE_URL to the URL of the PostgreSQL database with the outbox, such as \
                        postgres://user:password@localhost/shop";
    let url = env::var("DATABASE_URL").context(HELP)?;
    // Not shown: it may hold a password.
    anyhow::ensure!(url.starts_with("postgres"), "not PostgreSQL's: {HELP}");
    url.parse().context(HELP)
}
