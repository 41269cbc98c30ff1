//! Transactions that commit in another order than that of their row numbers.

use sqlx::pool::PoolOptions;
use sqlx::raw_sql;
use tokio_util::sync::CancellationToken;

use super::suite::{emit, relay};
use super::{READ_UNCOMMITTED, start};
use crate::receivers::{Log, To};

/// Guards: numbers that a look has jumped over are asked for again. One relay sees all of it.
#[tokio::test]
async fn a_row_that_commits_late_is_not_skipped() {
    let db = start().await;
    let log = Log::new();
    let relay = relay(&db.pool, To::all(&log));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
    let mut slow = db.pool.begin().await.unwrap();
    emit(&mut slow, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    emit(&db.pool, &[(Some("a"), 3), (None, 4)]).await.unwrap();
    log.until(|taken| taken.len() == 2).await;
    assert_eq!(log.of_key(Some("a")), [3]);
    slow.commit().await.unwrap();
    log.until(|taken| taken.len() == 4).await;
    assert_eq!(log.of_key(Some("a")), [3, 1]);
    assert_eq!(log.of_key(None), [4, 2]);
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

/// Guards: the isolation of the relay's own statements. PostgreSQL has no dirty reads; MariaDB has.
#[tokio::test]
async fn what_is_rolled_back_is_never_published_by_a_session_that_reads_uncommitted_rows() {
    let db = start().await;
    let log = Log::new();
    let dirty = PoolOptions::new().max_connections(1);
    let dirty = dirty.connect(db.database().url()).await.unwrap();
    raw_sql(READ_UNCOMMITTED).execute(&dirty).await.unwrap();
    let mut slow = db.pool.begin().await.unwrap();
    emit(&mut slow, &[(Some("a"), 1)]).await.unwrap();
    let relay = relay(&dirty, To::all(&log));
    relay.drain().await.unwrap();
    slow.rollback().await.unwrap();
    assert_eq!(log.all(), []);
    dirty.close().await;
}
