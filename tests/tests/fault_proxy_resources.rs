//! What the proxy takes of its process. Alone in its file: the tests of one file share threads and
//! files.

use std::fs;
use std::time::Duration;

use idem_testing::__internals::{FaultProxy, Protocol, ProxyFault};
use idem_tests::server;
use sqlx::{Connection as _, MySqlConnection, PgConnection, raw_sql};

/// Threads, and open files.
fn taken() -> (usize, usize) {
    let count = |folder| fs::read_dir(folder).unwrap().count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

#[tokio::test]
async fn two_hundred_proxies_leave_no_thread_and_no_file() {
    let (postgres, mariadb) = (
        server::postgres().database().await,
        server::mariadb().database().await,
    );
    let run = async |fault: Option<ProxyFault>| {
        let faults: Vec<(u64, ProxyFault)> = fault.map(|fault| (2, fault)).into_iter().collect();
        let fails = fault.is_some();

        let proxy = FaultProxy::start(Protocol::Postgres, postgres.address().unwrap()).unwrap();
        let url = postgres.url_through(proxy.address());
        let mut conn = PgConnection::connect(&url).await.unwrap();
        proxy.arm(&faults);
        raw_sql("BEGIN").execute(&mut conn).await.unwrap();
        let second = raw_sql("SELECT 1").execute(&mut conn).await;
        assert_eq!(second.is_err(), fails);
        // Every other one goes while its client is still there.
        drop(fails.then_some(proxy));
        drop(conn);

        let proxy = FaultProxy::start(Protocol::MySql, mariadb.address().unwrap()).unwrap();
        let url = mariadb.url_through(proxy.address());
        let mut conn = MySqlConnection::connect(&url).await.unwrap();
        proxy.arm(&faults);
        raw_sql("BEGIN").execute(&mut conn).await.unwrap();
        let second = raw_sql("SELECT 1").execute(&mut conn).await;
        assert_eq!(second.is_err(), fails);
        drop(conn);
        assert!(proxy.settle(Duration::from_mins(1)));
    };
    run(None).await;
    let before = taken();
    for fault in [
        None,
        Some(ProxyFault::CutRequest),
        Some(ProxyFault::CutReply),
        Some(ProxyFault::TruncateReply),
    ]
    .repeat(50)
    {
        run(fault).await;
    }
    assert_eq!(taken(), before);
}
