//! Which round trips there are.

use idem_testing::__internals::{ProxyFault, StepKind};
use sqlx::{Connection as _, Executor as _};

use super::work::{CUTS, WITHIN, run, shown, transaction};
use super::{Pool, ProxiedDb};

#[tokio::test]
async fn each_round_trip_tells_its_sql() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    for prepares in [true, false] {
        run(&mut db.direct().await, "DELETE FROM t").await.unwrap();
        db.proxy.arm(&[]);
        transaction(&mut conn).await.unwrap();
        let select = "SELECT x FROM t ORDER BY x";
        let mut expected = vec![
            (StepKind::Query, Some("BEGIN")),
            (StepKind::Query, Some("INSERT INTO t VALUES (1)")),
            (StepKind::Prepare, Some(ProxiedDb::INSERT)),
            (StepKind::Execute, Some(ProxiedDb::INSERT)),
            (StepKind::Prepare, Some(select)),
            (StepKind::Execute, Some(select)),
            (StepKind::Query, Some("COMMIT")),
        ];
        // A statement that sqlx knows is not prepared again.
        expected.retain(|(kind, _)| prepares || *kind != StepKind::Prepare);
        let steps = db.proxy.steps();
        assert_eq!(shown(&steps), expected);
        assert_eq!(db.proxy.count(), expected.len() as u64);
        assert!(
            steps
                .iter()
                .all(|step| step.connection == steps[0].connection)
        );
    }
}

#[tokio::test]
async fn a_request_that_was_queued_is_a_round_trip_of_its_own() {
    let db = ProxiedDb::start().await;
    for fault in CUTS {
        let mut conn = db.connect().await.unwrap();
        let mut tx = conn.begin().await.unwrap();
        tx.execute("INSERT INTO t VALUES (1)").await.unwrap();
        // Its ROLLBACK goes out with the next statement.
        drop(tx);
        db.proxy.arm(&[(2, fault)]);
        run(&mut conn, "INSERT INTO t VALUES (2)")
            .await
            .unwrap_err();
        assert_eq!(
            shown(&db.proxy.steps()),
            [
                (StepKind::Query, Some("ROLLBACK")),
                (StepKind::Query, Some("INSERT INTO t VALUES (2)")),
            ]
        );
        assert!(db.proxy.settle(WITHIN));
    }
    // Of those whose reply was lost.
    assert_eq!(ProxiedDb::rows(&mut db.direct().await).await, 2);
}

#[tokio::test]
async fn each_of_several_injuries_happens_at_its_own_step() {
    let db = ProxiedDb::start().await;
    db.proxy.arm(&[
        (2, ProxyFault::CutReply),
        (4, ProxyFault::CutRequest),
        (9, ProxyFault::CutReply),
    ]);
    let mut conn = db.connect_disarmed().await;
    db.proxy.arm(&[
        (2, ProxyFault::CutReply),
        (4, ProxyFault::CutRequest),
        (9, ProxyFault::CutReply),
    ]);
    run(&mut conn, "INSERT INTO t VALUES (1)").await.unwrap();
    run(&mut conn, "INSERT INTO t VALUES (2)")
        .await
        .unwrap_err();
    let mut conn = {
        let before = db.proxy.count();
        let conn = db.connect().await;
        assert!(db.proxy.count() > before);
        conn
    };
    if let Ok(conn) = &mut conn {
        run(conn, "INSERT INTO t VALUES (3)").await.unwrap_err();
    }
    assert_eq!(db.proxy.injected(), 2);
    assert!(db.proxy.settle(WITHIN));
    assert_eq!(ProxiedDb::rows(&mut db.direct().await).await, 2);
}

#[tokio::test]
async fn what_passes_after_disarming_is_neither_counted_nor_injured() {
    let db = ProxiedDb::start().await;
    let pool = Pool::connect(&db.url()).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    db.proxy.arm(&[(2, ProxyFault::CutReply)]);
    run(&mut conn, "INSERT INTO t VALUES (1)").await.unwrap();
    let counted = db.proxy.steps();
    db.proxy.disarm();
    // The pool asks whether the connection is alive, when it comes back and when it is taken.
    drop(conn);
    pool.execute("INSERT INTO t VALUES (2)").await.unwrap();
    pool.close().await;
    assert_eq!(db.proxy.steps(), counted);
    assert_eq!(db.proxy.injected(), 0);
}

#[tokio::test]
async fn a_ping_is_a_round_trip_without_sql() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    db.proxy.arm(&[]);
    conn.ping().await.unwrap();
    assert_eq!(shown(&db.proxy.steps()), [(StepKind::Ping, None)]);
}

#[tokio::test]
async fn long_requests_and_replies_pass_whole() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    // More than one packet of MySQL's holds.
    let long = "x".repeat(20_000_000);
    db.proxy.arm(&[]);
    let echoed: String = sqlx::query_scalar(ProxiedDb::ECHO)
        .bind(&long)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(echoed == long, "the text was changed on its way");
    assert_eq!(db.proxy.count(), 2);
}
