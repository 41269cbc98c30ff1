//! Requests that are made to fail, and what is left of them.

use idem_testing::__internals::{InjectedError, ProxyFault};
use sqlx::Connection as _;

use super::ProxiedDb;
use super::work::{INJECTED_ERRORS, run, transaction};

#[tokio::test]
async fn a_refused_statement_fails_and_its_connection_lives_on() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    for error_kind in INJECTED_ERRORS {
        for k in 2..=6 {
            ProxiedDb::forget_statements(&mut conn).await;
            db.proxy.arm(&[(k, ProxyFault::Fail(error_kind))]);
            let error = transaction(&mut conn).await.unwrap_err();
            assert_eq!(
                ProxiedDb::code(&error),
                ProxiedDb::code_of(error_kind),
                "{error:?}"
            );
            assert_eq!(db.proxy.injected(), 1);
            db.proxy.disarm();
            // The ROLLBACK that the dropped transaction has queued goes out first.
            run(&mut conn, "SELECT 1").await.unwrap();
            assert!(!conn.is_in_transaction());
            assert_eq!(ProxiedDb::rows(&mut conn).await, 0);
        }
    }
    transaction(&mut conn).await.unwrap();
    assert_eq!(ProxiedDb::rows(&mut db.direct().await).await, 2);
}

#[tokio::test]
async fn a_refused_commit_rolls_back_and_leaves_no_transaction() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    for error_kind in INJECTED_ERRORS {
        run(&mut conn, "BEGIN").await.unwrap();
        run(&mut conn, "INSERT INTO t VALUES (1)").await.unwrap();
        db.proxy.arm(&[(1, ProxyFault::Fail(error_kind))]);
        let error = run(&mut conn, "COMMIT").await.unwrap_err();
        assert_eq!(ProxiedDb::code(&error), ProxiedDb::code_of(error_kind));
        assert_eq!(db.proxy.injected(), 1);
        db.proxy.disarm();
        // No transaction is left that could take this back.
        run(&mut conn, "INSERT INTO t VALUES (2)").await.unwrap();
        let mut direct = db.direct().await;
        assert_eq!(ProxiedDb::rows(&mut direct).await, 1);
        run(&mut direct, "DELETE FROM t").await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_begin_begins_nothing() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    db.proxy
        .arm(&[(1, ProxyFault::Fail(InjectedError::Deadlock))]);
    conn.begin().await.unwrap_err();
    assert_eq!(db.proxy.injected(), 1);
    run(&mut conn, "INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(ProxiedDb::rows(&mut db.direct().await).await, 1);
}

#[tokio::test]
async fn a_refused_statement_outside_of_a_transaction_takes_no_effect() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    for error_kind in INJECTED_ERRORS {
        db.proxy.arm(&[(1, ProxyFault::Fail(error_kind))]);
        run(&mut conn, "INSERT INTO t VALUES (1)")
            .await
            .unwrap_err();
        run(&mut conn, "INSERT INTO t VALUES (2)").await.unwrap();
    }
    assert_eq!(ProxiedDb::rows(&mut db.direct().await).await, 2);
}

#[tokio::test]
async fn what_no_server_refuses_is_passed_on() {
    let db = ProxiedDb::start().await;
    db.proxy
        .arm(&[(1, ProxyFault::Fail(InjectedError::Deadlock))]);
    let mut conn = db.connect().await.unwrap();
    for sql in ["ROLLBACK", "BEGIN; SAVEPOINT s; INSERT INTO t VALUES (1)"] {
        db.proxy.disarm();
        run(&mut conn, sql).await.unwrap();
    }
    db.proxy.arm(&[
        (1, ProxyFault::Fail(InjectedError::Deadlock)),
        (2, ProxyFault::Fail(InjectedError::Deadlock)),
    ]);
    conn.ping().await.unwrap();
    run(&mut conn, "ROLLBACK TO SAVEPOINT s").await.unwrap();
    assert_eq!((db.proxy.count(), db.proxy.injected()), (2, 0));
}

/// A batch fails at its work, or at its COMMIT: both leave nothing.
#[tokio::test]
async fn a_refused_batch_fails_in_its_middle() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    for error_kind in INJECTED_ERRORS {
        db.proxy.arm(&[(1, ProxyFault::Fail(error_kind))]);
        let batch = "BEGIN; INSERT INTO t VALUES (1); COMMIT";
        let error = run(&mut conn, batch).await.unwrap_err();
        assert_eq!(ProxiedDb::code(&error), ProxiedDb::code_of(error_kind));
        assert_eq!(db.proxy.injected(), 1);
        db.proxy.disarm();
        run(&mut conn, "ROLLBACK").await.unwrap();
        assert_eq!(ProxiedDb::rows(&mut conn).await, 0);
    }
}

/// What comes before the failing statement is executed, and may fail by itself.
#[tokio::test]
async fn a_batch_that_fails_before_it_is_refused_is_not_injured() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    db.proxy
        .arm(&[(1, ProxyFault::Fail(InjectedError::SerializationFailure))]);
    let error = run(&mut conn, "BEGIN; SELECT * FROM missing; COMMIT")
        .await
        .unwrap_err();
    assert_ne!(
        ProxiedDb::code(&error),
        ProxiedDb::code_of(InjectedError::SerializationFailure)
    );
    assert_eq!(db.proxy.injected(), 0);
}
