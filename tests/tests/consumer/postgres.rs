//! PostgreSQL.

use std::time::Duration;

use idem_runtime::{Consumer, Inbox};
use idem_testing::{Settled, TestSource};
use idem_tests::TestDb;
use idem_tests::proxy::{Proxy, When};
use idem_tests::server::{Options, Postgres};
use sqlx::postgres::PgPoolOptions;

use self::suite::{Perform, Play, Running, attempts, letters};
use crate::stage::{Act, Stage, step};

#[path = "suite/mod.rs"]
pub(crate) mod suite;

pub(crate) type Conn = sqlx::PgConnection;
pub(crate) type Database = sqlx::Postgres;
pub(crate) type Pool = sqlx::Pool<Database>;

pub(crate) type Db = TestDb<Database>;

/// These bytes in a statement.
pub(crate) fn blob(hexed: &str) -> String {
    format!("decode('{hexed}', 'hex')")
}

pub(crate) async fn start() -> Db {
    let db = TestDb::empty(8).await;
    db.migrate().await;
    db
}

/// Guards: all of it together: a server that is killed and comes back costs no attempt, no dead
/// letter and no effect, and none is there twice.
#[tokio::test]
async fn a_server_that_is_killed_costs_nothing_but_time() {
    let mut server = Postgres::start(Options::default().durable()).await.unwrap();
    let db: Db = TestDb::on(server.database().await, 2).await;
    db.migrate().await;
    db.execute("CREATE TABLE effects (id varchar(100) NOT NULL)")
        .await;
    let impatient = PgPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(Duration::from_millis(500));
    let pool = impatient.connect_with(db.options()).await.unwrap();

    let (source, stage) = (TestSource::new(), Stage::default());
    let with = Consumer::new("steps", source.clone()).on_with::<Perform>(stage.clone());
    let running = Running::start(&pool, with);
    let deliver = |numbers: std::ops::Range<u32>| {
        let each = numbers.map(|n| source.deliver(step(&format!("k{}", n % 5), n, Act::Succeed)));
        each.collect::<Vec<_>>()
    };
    let mut all = deliver(0..20);
    for delivery in &all {
        delivery.assert_settled(Settled::Acked).await;
    }
    server.crash().unwrap();
    all.extend(deliver(20..40));
    source.wait_paused(true).await;
    server.restart().await.unwrap();
    for delivery in &all {
        while delivery.settled().is_none() {
            source.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
        delivery.assert_settled(Settled::Acked).await;
    }
    let stats = running.stop().await;
    assert_eq!((stats.handled, stats.dead_lettered), (40, 0));
    let after = TestDb::<Database>::pool_of(db.database().url(), 2).await;
    let effects = "SELECT count(*) + 1000 * count(DISTINCT id) FROM effects";
    let found: i64 = sqlx::query_scalar(effects).fetch_one(&after).await.unwrap();
    assert_eq!(found, 40_040);
    assert_eq!((letters(&db).await, attempts(&db).await), (0, vec![]));
    pool.close().await;
}

/// Guards: the time limit of an inbox's statements. One answer that never came would stop it for
/// ever, without a word.
#[tokio::test]
async fn an_answer_that_never_comes_does_not_stop_an_inbox() {
    let db = start().await;
    let proxy = Proxy::start(db.database().address().unwrap()).unwrap();
    let through = db.database().url_through(proxy.address());
    let pool = TestDb::<Database>::pool_of(&through, 8).await;
    let (inbox, stage) = (Inbox::new(pool.clone(), "steps"), Stage::default());
    let with = Consumer::new("steps", inbox.clone()).on_with::<Play>(stage.clone());
    let running = Running::start(&pool, with);
    inbox.store(step("a", 1, Act::Wait)).await.unwrap();
    stage.until_begun(1).await;
    let swallowed = proxy.swallow_reply(When::Contains("done_at = clock_timestamp()"));
    stage.let_go(1);
    inbox.store(step("a", 2, Act::Succeed)).await.unwrap();
    stage.until_begun(2).await;
    assert!(swallowed.happened());
    assert_eq!(running.stop().await.handled, 2);
}
