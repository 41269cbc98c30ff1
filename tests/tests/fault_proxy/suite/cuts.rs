//! Connections that are cut.

use idem_testing::__internals::{FaultProxy, ProxyFault, StepKind};
use sqlx::Connection as _;

use super::work::{CUTS, STEPS, WITHIN, run, transaction};
use super::{Conn, ProxiedDb};

#[tokio::test]
async fn a_cut_at_any_step_of_a_transaction_is_an_error_and_only_a_commit_that_was_executed_lasts()
{
    let db = ProxiedDb::start().await;
    let mut direct = db.direct().await;
    for fault in CUTS {
        for k in 1..=STEPS {
            let mut conn = db.connect().await.unwrap();
            db.proxy.arm(&[(k, fault)]);
            transaction(&mut conn).await.unwrap_err();
            assert_eq!((db.proxy.count(), db.proxy.injected()), (k, 1), "{fault:?}");
            drop(conn);
            assert!(db.proxy.settle(WITHIN));
            let lasts = k == STEPS && fault != ProxyFault::CutRequest;
            assert_eq!(
                ProxiedDb::rows(&mut direct).await,
                if lasts { 2 } else { 0 },
                "{fault:?} at {k}"
            );
            run(&mut direct, "DELETE FROM t").await.unwrap();
        }
        db.proxy.arm(&[(STEPS + 1, fault)]);
        transaction(&mut db.connect_disarmed().await).await.unwrap();
        run(&mut direct, "DELETE FROM t").await.unwrap();
    }
}

#[tokio::test]
async fn a_cut_at_any_step_of_the_handshake_is_an_error() {
    let db = ProxiedDb::start().await;
    db.proxy.arm(&[]);
    drop(db.connect().await.unwrap());
    let steps = db.proxy.steps();
    let handshakes = steps
        .iter()
        .take_while(|step| step.kind == StepKind::Handshake);
    assert!(handshakes.count() >= 1, "{steps:?}");
    for fault in CUTS {
        for k in 1..=steps.len() as u64 {
            db.proxy.arm(&[(k, fault)]);
            db.connect().await.unwrap_err();
            assert_eq!(db.proxy.injected(), 1);
            assert!(db.proxy.settle(WITHIN));
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_trouble_and_no_injury() {
    let db = ProxiedDb::start().await;
    let (protocol, nobody) = {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        (ProxiedDb::PROTOCOL, taken.local_addr().unwrap())
    };
    let proxy = FaultProxy::start(protocol, nobody).unwrap();
    Conn::connect(&db.url_through(proxy.address()))
        .await
        .unwrap_err();
    assert!(proxy.settle(WITHIN));
    let error = proxy.error().unwrap();
    assert!(
        error.starts_with(&format!("the proxy can't connect to {nobody}: ")),
        "{error}"
    );
}

#[tokio::test]
async fn connections_end_with_their_proxy() {
    let db = ProxiedDb::start().await;
    let mut conn = db.connect().await.unwrap();
    let url = db.url();
    let ProxiedDb { proxy, .. } = db;
    drop(proxy);
    run(&mut conn, "SELECT 1").await.unwrap_err();
    Conn::connect(&url).await.unwrap_err();
}
