//! When the database is idle.

use std::time::Duration;

use super::ProxiedDb;
use super::work::{CUTS, WITHIN, run};

/// MariaDB closes a connection before it rolls back, which takes a while here: the proxy has to
/// reset the session first.
#[tokio::test]
async fn what_is_settled_holds_no_lock() {
    let db = ProxiedDb::start().await;
    let mut direct = db.direct().await;
    run(&mut direct, "INSERT INTO t VALUES (1)").await.unwrap();
    // Cut in each way, and left by the client itself.
    for fault in CUTS.into_iter().map(Some).chain([None]) {
        let mut conn = db.connect_disarmed().await;
        run(&mut conn, "BEGIN; UPDATE t SET x = x + 1")
            .await
            .unwrap();
        run(&mut conn, ProxiedDb::MUCH).await.unwrap();
        if let Some(fault) = fault {
            db.proxy.arm(&[(1, fault)]);
            run(&mut conn, "SELECT 1").await.unwrap_err();
        }
        drop(conn);
        assert!(db.proxy.settle(WITHIN));
        run(&mut direct, "SELECT * FROM t FOR UPDATE NOWAIT")
            .await
            .unwrap();
    }
}

/// The server still executes what a client has asked for that is gone.
#[tokio::test]
async fn it_is_not_settled_before_an_abandoned_request_is_done() {
    let db = ProxiedDb::start().await;
    let mut direct = db.direct().await;
    run(&mut direct, "INSERT INTO t VALUES (1)").await.unwrap();
    let mut conn = db.connect().await.unwrap();
    run(&mut direct, "BEGIN").await.unwrap();
    run(&mut direct, "UPDATE t SET x = x + 1").await.unwrap();
    db.proxy.arm(&[]);
    {
        let waiting = run(&mut conn, "UPDATE t SET x = 100");
        tokio::select! {
            biased;
            _ = waiting => panic!("the row is locked"),
            () = sent(&db, 1) => {}
        }
    }
    drop(conn);
    assert!(!db.proxy.settle(Duration::from_millis(50)));
    run(&mut direct, "COMMIT").await.unwrap();
    assert!(db.proxy.settle(WITHIN));
    let row: i32 = sqlx::query_scalar("SELECT x FROM t")
        .fetch_one(&mut direct)
        .await
        .unwrap();
    assert_eq!(row, 100);
}

/// Until this many round trips have begun.
async fn sent(db: &ProxiedDb, count: u64) {
    while db.proxy.count() < count {
        tokio::task::yield_now().await;
    }
}
