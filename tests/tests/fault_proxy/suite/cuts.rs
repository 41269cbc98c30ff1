//! Connections that are cut.

use idem_testing::__internals::{FaultProxy, ProxyFault, StepKind};
use sqlx::Connection as _;

use super::work::{CUTS, STEPS, WITHIN, run, transaction};
use super::{Bed, Conn};

#[tokio::test]
async fn a_cut_at_any_step_of_a_transaction_is_an_error_and_only_a_commit_that_was_executed_lasts()
{
    let bed = Bed::start().await;
    let mut direct = bed.direct().await;
    for fault in CUTS {
        for k in 1..=STEPS {
            let mut conn = bed.connect().await.unwrap();
            bed.proxy.arm(&[(k, fault)]);
            transaction(&mut conn).await.unwrap_err();
            assert_eq!(
                (bed.proxy.count(), bed.proxy.injected()),
                (k, 1),
                "{fault:?}"
            );
            drop(conn);
            assert!(bed.proxy.settle(WITHIN));
            let lasts = k == STEPS && fault != ProxyFault::CutRequest;
            assert_eq!(
                Bed::rows(&mut direct).await,
                if lasts { 2 } else { 0 },
                "{fault:?} at {k}"
            );
            run(&mut direct, "DELETE FROM t").await.unwrap();
        }
        bed.proxy.arm(&[(STEPS + 1, fault)]);
        transaction(&mut bed.connect_disarmed().await)
            .await
            .unwrap();
        run(&mut direct, "DELETE FROM t").await.unwrap();
    }
}

#[tokio::test]
async fn a_cut_at_any_step_of_the_handshake_is_an_error() {
    let bed = Bed::start().await;
    bed.proxy.arm(&[]);
    drop(bed.connect().await.unwrap());
    let steps = bed.proxy.steps();
    let handshakes = steps
        .iter()
        .take_while(|step| step.kind == StepKind::Handshake);
    assert!(handshakes.count() >= 1, "{steps:?}");
    for fault in CUTS {
        for k in 1..=steps.len() as u64 {
            bed.proxy.arm(&[(k, fault)]);
            bed.connect().await.unwrap_err();
            assert_eq!(bed.proxy.injected(), 1);
            assert!(bed.proxy.settle(WITHIN));
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_trouble_and_no_injury() {
    let bed = Bed::start().await;
    let (protocol, nobody) = {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        (Bed::PROTOCOL, taken.local_addr().unwrap())
    };
    let proxy = FaultProxy::start(protocol, nobody).unwrap();
    Conn::connect(&bed.url_through(proxy.address()))
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
    let bed = Bed::start().await;
    let mut conn = bed.connect().await.unwrap();
    let url = bed.url();
    let Bed { proxy, .. } = bed;
    drop(proxy);
    run(&mut conn, "SELECT 1").await.unwrap_err();
    Conn::connect(&url).await.unwrap_err();
}
