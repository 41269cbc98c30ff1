//! Duplicates: from several processes at once, and of a row that can't be read or is purged.

use idem_runtime::{Error, Outcome};
use idem_tests::TestDb;
use tokio::task::JoinSet;

use super::{Database, Order, apply, count, effects, sql, start, text_as_bytes};

/// Guards: the unique constraint alone decides. Four processes deliver the same hundred orders at
/// once.
#[tokio::test]
async fn the_same_keys_from_four_processes_make_one_effect_each() {
    let db = start(4).await;
    let children: Vec<_> = (0..4)
        .map(|_| {
            tokio::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    concat!(module_path!(), "::deliveries_of_one_process")
                        .split_once("::")
                        .unwrap()
                        .1,
                    "--exact",
                    "--nocapture",
                    "--include-ignored",
                ])
                .env("IDEM_TESTS_DELIVER_TO", db.database().url())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut executed = 0;
    for child in children {
        let output = child.wait_with_output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        let line = text
            .lines()
            .find_map(|line| line.split_once("executed="))
            .expect(&text);
        executed += line.1.trim().parse::<usize>().unwrap();
    }
    assert_eq!(executed, 100);
    assert_eq!(count(&db.pool, "SELECT count(*) FROM effects").await, 100);
    assert_eq!(
        count(&db.pool, "SELECT count(DISTINCT id) FROM effects").await,
        100
    );
}

/// What each of the four processes above runs; alone it has nothing to do.
#[tokio::test]
async fn deliveries_of_one_process() {
    let Ok(url) = std::env::var("IDEM_TESTS_DELIVER_TO") else {
        return;
    };
    let pool = TestDb::<Database>::pool_of(&url, 4).await;
    let mut executed = 0;
    for id in 0..100 {
        let outcome = apply(&pool, &Order::plain(&format!("o{id}")))
            .await
            .unwrap();
        executed += usize::from(outcome.is_executed());
    }
    println!("executed={executed}");
}

/// Guards: a result that can't be read is an error, not a second execution and not an empty
/// success.
#[tokio::test]
async fn an_unreadable_result_is_never_executed_again() {
    let db = start(4).await;
    assert_eq!(
        apply(&db.pool, &Order::plain("o")).await.unwrap(),
        Outcome::Executed(7)
    );
    for broken in ["'not json'", "NULL", "'\"text\"'", "'{}'"] {
        let update = format!("UPDATE idem_keys SET result = {}", text_as_bytes(broken));
        sql(&mut db.pool.acquire().await.unwrap(), &update)
            .await
            .unwrap();
        let next = apply(&db.pool, &Order::plain("o")).await;
        assert!(
            matches!(next, Err(Error::ResultUndecodable)),
            "{broken}: {next:?}"
        );
    }
    assert_eq!(effects(&db.pool, "o").await, 1);
}

/// Guards: a claim that was told of a row which is gone tries again, bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_races_claims_fails_none_of_them() {
    let db = start(6).await;
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let pool = db.another_pool(4).await;
        calls.spawn(async move {
            for _ in 0..50 {
                let _outcome = apply(&pool, &Order::plain("o")).await.unwrap();
            }
        });
    }
    let purge = async {
        loop {
            // What `purge` does to a row whose retention has passed, at the worst of times.
            let _busy = sql(
                &mut db.pool.acquire().await.unwrap(),
                "DELETE FROM idem_keys WHERE state = 1",
            )
            .await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = async { while let Some(call) = calls.join_next().await { call.unwrap(); } } => {}
        () = purge => {}
    }
    db.assert_no_open_transaction().await;
}
