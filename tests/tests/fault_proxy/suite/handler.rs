//! A handler under every fault.

use idem_runtime::idempotent;
use idem_testing::__internals::ProxyFault;

use super::work::{CUTS, INJECTED_ERRORS, WITHIN, run};
use super::{Conn, Pool, ProxiedDb};

#[idempotent(key = "id", retry = 1)]
async fn handle(tx: &mut Conn, id: u64) -> Result<i32, sqlx::Error> {
    let of = i32::try_from(id).unwrap_or(0);
    sqlx::query(ProxiedDb::INSERT)
        .bind(of)
        .execute(&mut *tx)
        .await?;
    sqlx::query_scalar("SELECT x FROM t ORDER BY x DESC LIMIT 1")
        .fetch_one(&mut *tx)
        .await
}

/// Delivered again after an error, as a broker would.
#[tokio::test]
async fn a_handler_takes_effect_once_whatever_is_done_to_any_of_its_round_trips() {
    let db = ProxiedDb::start().await;
    idem_runtime::migrate(&Pool::connect(&db.direct_url()).await.unwrap())
        .await
        .unwrap();
    let mut direct = db.direct().await;
    let errors = INJECTED_ERRORS.map(ProxyFault::Fail);
    let mut id = 0;
    for fault in CUTS.into_iter().chain(errors) {
        for k in 1.. {
            id += 1;
            let pool = Pool::connect(&db.url()).await.unwrap();
            db.proxy.arm(&[(k, fault)]);
            let first = handle(&pool, id).await;
            let steps = db.proxy.count();
            db.proxy.disarm();
            let injected = db.proxy.injected();
            let again = handle(&pool, id).await.unwrap().into_inner();
            pool.close().await;
            assert!(db.proxy.settle(WITHIN));
            assert_eq!(again, i32::try_from(id).unwrap());
            let rows = ProxiedDb::rows(&mut direct).await;
            assert_eq!(rows, 1, "{fault:?} at {k}: {first:?}");
            run(&mut direct, "DELETE FROM t").await.unwrap();
            if injected == 0 && k > steps {
                assert!(k > 4, "a handler of two statements takes more round trips");
                break;
            }
        }
    }
}
