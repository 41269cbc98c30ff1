use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Executor as _, SqlitePool};

use super::*;
use crate::Relay;
use crate::broker::JsonLines;

/// The error of a connection that finds another one writing.
async fn contention() -> sqlx::Error {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("db"))
        .create_if_missing(true)
        .busy_timeout(Duration::ZERO);
    let pool = SqlitePoolOptions::new().connect_with(options).await;
    let (pool, begin) = (pool.unwrap(), "BEGIN IMMEDIATE");
    let mut writer = pool.acquire().await.unwrap();
    writer.execute(begin).await.unwrap();
    let mut other = pool.acquire().await.unwrap();
    other.execute(begin).await.unwrap_err()
}

fn relay() -> Relay<sqlx::Sqlite, JsonLines> {
    let pool = SqlitePool::connect_lazy("sqlite:secret.db").unwrap();
    Relay::new(pool, JsonLines::stdout())
}

/// Guards: a mistake in the set-up ends a relay at once, an outage only the one that never reached
/// its database.
#[tokio::test]
async fn a_relay_survives_outages_of_a_database_that_it_has_reached_and_some_contention() {
    let relay = relay();
    let (contention, outage) = (contention().await, sqlx::Error::PoolTimedOut);
    let (service, job) = (relay.worker(Until::Shutdown), relay.worker(Until::Empty));
    for (worker, error, reached, failures, survives) in [
        (&service, &outage, true, 1_000, true),
        (&service, &outage, false, 0, false),
        (&service, &contention, false, ATTEMPTS - 1, true),
        (&service, &contention, false, ATTEMPTS, false),
        (&job, &outage, true, 0, false),
        (&job, &contention, true, 0, true),
        (&job, &contention, true, ATTEMPTS - 1, true),
        (&job, &contention, true, ATTEMPTS, false),
    ] {
        let survived = worker.survives(error, reached, failures);
        assert_eq!(survived, survives, "{error} {reached} {failures}");
    }
}

#[tokio::test]
async fn a_relay_shows_its_publishers_type_and_its_options_alone() {
    let shown = format!("{:?}", relay());
    assert!(
        shown.contains("JsonLines") && shown.contains("poll_interval"),
        "{shown}"
    );
    assert!(!shown.contains("secret"), "{shown}");
}
