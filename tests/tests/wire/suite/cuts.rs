//! Connections that are cut.

use idem_runtime::__testing::{Injury, StepKind, Wire};
use sqlx::Connection as _;

use super::work::{CUTS, STEPS, WITHIN, run, transaction};
use super::{Bed, Conn};

#[tokio::test]
async fn a_cut_at_any_step_of_a_transaction_is_an_error_and_only_a_commit_that_was_executed_lasts()
{
    let bed = Bed::start().await;
    let mut direct = bed.direct().await;
    for injury in CUTS {
        for k in 1..=STEPS {
            let mut conn = bed.connect().await.unwrap();
            bed.wire.arm(&[(k, injury)]);
            transaction(&mut conn).await.unwrap_err();
            assert_eq!((bed.wire.count(), bed.wire.injured()), (k, 1), "{injury:?}");
            drop(conn);
            assert!(bed.wire.settle(WITHIN));
            let lasts = k == STEPS && injury != Injury::CutRequest;
            assert_eq!(
                Bed::rows(&mut direct).await,
                if lasts { 2 } else { 0 },
                "{injury:?} at {k}"
            );
            run(&mut direct, "DELETE FROM t").await.unwrap();
        }
        bed.wire.arm(&[(STEPS + 1, injury)]);
        transaction(&mut bed.connect_disarmed().await)
            .await
            .unwrap();
        run(&mut direct, "DELETE FROM t").await.unwrap();
    }
}

#[tokio::test]
async fn a_cut_at_any_step_of_the_handshake_is_an_error() {
    let bed = Bed::start().await;
    bed.wire.arm(&[]);
    drop(bed.connect().await.unwrap());
    let steps = bed.wire.steps();
    let handshakes = steps
        .iter()
        .take_while(|step| step.kind == StepKind::Handshake);
    assert!(handshakes.count() >= 1, "{steps:?}");
    for injury in CUTS {
        for k in 1..=steps.len() as u64 {
            bed.wire.arm(&[(k, injury)]);
            bed.connect().await.unwrap_err();
            assert_eq!(bed.wire.injured(), 1);
            assert!(bed.wire.settle(WITHIN));
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
    let wire = Wire::start(protocol, nobody).unwrap();
    Conn::connect(&bed.url_through(wire.address()))
        .await
        .unwrap_err();
    assert!(wire.settle(WITHIN));
    let trouble = wire.trouble().unwrap();
    assert!(
        trouble.starts_with(&format!("the proxy can't connect to {nobody}: ")),
        "{trouble}"
    );
}

#[tokio::test]
async fn connections_end_with_their_proxy() {
    let bed = Bed::start().await;
    let mut conn = bed.connect().await.unwrap();
    let url = bed.url();
    let Bed { wire, .. } = bed;
    drop(wire);
    run(&mut conn, "SELECT 1").await.unwrap_err();
    Conn::connect(&url).await.unwrap_err();
}
