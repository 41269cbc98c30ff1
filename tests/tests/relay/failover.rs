//! Sessions that a failover leaves read-only.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::suite::{emit, relay, unpublished};
use super::{READ_ONLY, start};
use crate::receivers::{Gated, Log, within};

/// Guards: a connection on which the database refused something is closed. Otherwise what was
/// published is never deleted, for as long as these connections live.
#[tokio::test]
async fn connections_that_became_read_only_are_closed_and_nothing_is_published_again() {
    let db = start().await;
    let pool = db.another_pool(2).await;
    let log = Log::new();
    let gate = Arc::new(Semaphore::new(0));
    let publisher = Gated {
        log: log.clone(),
        gate: gate.clone(),
        verdict: Ok(()),
    };
    let shutdown = CancellationToken::new();
    // Nothing but the settlement writes during the test.
    let relay = relay(&pool, publisher).lease(Duration::from_mins(1));
    let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
    emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    log.until(|taken| taken.len() == 2).await;
    let mut all = Vec::new();
    for _ in 0..2 {
        all.push(pool.acquire().await.unwrap());
    }
    for conn in &mut all {
        sqlx::raw_sql(READ_ONLY).execute(&mut **conn).await.unwrap();
    }
    drop(all);
    gate.add_permits(10);
    within(async { while unpublished(&db.pool).await > 0 {} }).await;
    emit(&db.pool, &[(Some("a"), 3)]).await.unwrap();
    within(async { while unpublished(&db.pool).await > 0 {} }).await;
    assert_eq!(log.all().len(), 3);
    shutdown.cancel();
    assert_eq!(within(running).await.unwrap().unwrap().published, 3);
}
