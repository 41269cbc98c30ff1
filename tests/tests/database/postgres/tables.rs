//! What calls and purges cost the tables.

use std::time::Duration;

use idem_runtime::{idempotent, purge};
use idem_tests::server;
use sqlx::PgConnection;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::handlers::{Db, count, pool_with, start};

/// Guards: what is due is compared with a time that does not change in a statement, so that an
/// index answers.
#[tokio::test]
async fn a_purge_finds_what_is_due_by_an_index() {
    let db = start().await;
    db.execute(
        "INSERT INTO idem_attempts (origin, name, source, id, attempts) \
         SELECT 'relay', 'default', '', n::text, 1 FROM generate_series(1, 20000) AS n; \
         INSERT INTO idem_keys (scope, key, state, expires_at) \
         SELECT 's', int4send(n), 3, now() + interval '1 day' FROM generate_series(1, 20000) AS n; \
         ANALYZE idem_attempts, idem_keys",
    )
    .await;
    // Logs the plans of the very statements.
    let name = db.database().name();
    let explained = [
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("application_name", name),
    ];
    let explained = pool_with(&db, &explained).await;
    let before = server::postgres().log().len();
    purge(&explained).await.unwrap();
    let log = server::postgres().log();
    for condition in ["Index Cond: (touched_at <=", "Index Cond: (expires_at <="] {
        assert!(log[before..].contains(condition), "{}", &log[before..]);
    }
    assert_eq!(count(&db, "idem_attempts").await, 20_000);
}

#[idempotent(key = "number", scope = "postgres.kept")]
async fn kept(tx: &mut PgConnection, number: i64) -> Result<String, sqlx::Error> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(format!("{number:0500}"))
}

#[idempotent(key = "number", scope = "postgres.retained", retention = "1h")]
async fn retained(tx: &mut PgConnection, number: i64) -> Result<String, sqlx::Error> {
    sqlx::query("SELECT 1").execute(tx).await?;
    Ok(format!("{number:0500}"))
}

/// Guards: pages keep room for the end of a claim, and the retention is set with the claim, not at
/// its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nearly_every_finish_stays_on_its_page() {
    const CALLS: i64 = 1_500;
    for with_retention in [false, true] {
        let db = start().await;
        let mut calls = JoinSet::new();
        for first in 0..4 {
            let pool = db.pool.clone();
            calls.spawn(async move {
                for number in (first..CALLS).step_by(4) {
                    let outcome = if with_retention {
                        retained(&pool, number).await
                    } else {
                        kept(&pool, number).await
                    };
                    assert!(outcome.unwrap().is_executed());
                }
            });
        }
        calls.join_all().await;
        let hot = hot_updates(&db, CALLS).await;
        assert!(
            hot * 100 >= CALLS * 99,
            "{hot} of {CALLS}, retention: {with_retention}"
        );
    }
}

/// Waits until the statistics know all updates; how many of them were HOT.
async fn hot_updates(db: &Db, all: i64) -> i64 {
    let deadline = Instant::now() + Duration::from_secs(20);
    let updates = |column: &str| {
        format!("SELECT {column} FROM pg_stat_user_tables WHERE relname = 'idem_keys'")
    };
    while db.number(&updates("n_tup_upd")).await < all {
        assert!(Instant::now() < deadline, "the statistics do not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    db.number(&updates("n_tup_hot_upd")).await
}
