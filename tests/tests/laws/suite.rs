//! The laws, for the database of the module that includes this file.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use idem_runtime::{Error, Outbox, Outcome, idempotent, outbox};
use idem_tests::poll::drop_at_pending;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, raw_sql};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Bed, Conn, Pool};

/// A delivery, and what its handler does beside its effect.
#[derive(Clone, Debug)]
struct Order {
    id: String,
    deeds: Vec<Deed>,
}

#[derive(Clone, Debug)]
enum Deed {
    /// Runs a statement.
    Sql(&'static str),
    /// Runs a statement and ignores its error.
    Swallowed(&'static str),
    /// Begins a nested transaction and forgets it.
    LeakNested,
    /// Says that it is here, and waits to be let on.
    Meet(Arc<Semaphore>, Arc<Semaphore>),
    Fail,
    Panic,
}

impl Order {
    fn new(id: &str, deeds: impl Into<Vec<Deed>>) -> Self {
        Self {
            id: id.into(),
            deeds: deeds.into(),
        }
    }

    fn plain(id: &str) -> Self {
        Self::new(id, [])
    }
}

#[idempotent(key = "order.id", scope = "laws.apply", in_flight = "wait 20s")]
async fn apply(tx: &mut Conn, order: &Order) -> Result<i64, sqlx::Error> {
    perform(tx, order).await
}

#[idempotent(key = "order.id", scope = "laws.retried", retry = 5)]
async fn retried(tx: &mut Conn, order: &Order) -> Result<i64, sqlx::Error> {
    perform(tx, order).await
}

#[derive(serde::Serialize, serde::Deserialize, idem_runtime::Event)]
#[event(topic = "laws.done", key = "id")]
struct Done {
    id: String,
}

#[outbox]
async fn keyless(
    tx: &mut Conn,
    outbox: &mut Outbox<Done>,
    order: &Order,
) -> Result<i64, sqlx::Error> {
    outbox.emit(&Done {
        id: order.id.clone(),
    });
    perform(tx, order).await
}

async fn perform(tx: &mut Conn, order: &Order) -> Result<i64, sqlx::Error> {
    sql(
        tx,
        &format!("INSERT INTO effects (id) VALUES ('{}')", order.id),
    )
    .await?;
    for deed in &order.deeds {
        match deed {
            Deed::Sql(text) => sql(tx, text).await?,
            Deed::Swallowed(text) => drop(sql(tx, text).await),
            Deed::LeakNested => std::mem::forget(sqlx::Connection::begin(&mut *tx).await?),
            Deed::Meet(here, go_on) => {
                here.add_permits(1);
                go_on.acquire().await.expect("never closed").forget();
            }
            Deed::Fail => return Err(sqlx::Error::RowNotFound),
            Deed::Panic => panic!("the handler panics"),
        }
    }
    Ok(7)
}

/// Rounds, and the points in each at which a call may be waiting.
fn points() -> impl Iterator<Item = (usize, usize)> {
    (0..5).flat_map(|round| (0..100).map(move |k| (round, k)))
}

async fn sql(conn: &mut Conn, text: &str) -> Result<(), sqlx::Error> {
    raw_sql(AssertSqlSafe(text.to_owned()))
        .execute(conn)
        .await
        .map(drop)
}

async fn count(pool: &Pool, query: &str) -> i64 {
    raw_sql(AssertSqlSafe(query.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap()
        .get(0)
}

async fn effects(pool: &Pool, id: &str) -> i64 {
    count(
        pool,
        &format!("SELECT count(*) FROM effects WHERE id = '{id}'"),
    )
    .await
}

async fn claims(pool: &Pool) -> i64 {
    count(pool, "SELECT count(*) FROM idem_keys").await
}

async fn events(pool: &Pool) -> i64 {
    count(pool, "SELECT count(*) FROM idem_outbox").await
}

/// Cure: where the connection broke, a call that commits can't know its end; one that leaves the COMMIT to its caller does: that
/// COMMIT can't succeed.
#[tokio::test]
async fn a_connection_that_breaks_before_the_end_leaves_it_unknown_unless_the_caller_commits() {
    let Some(break_connection) = Bed::BREAK_CONNECTION else {
        return;
    };
    let bed = Bed::start(2).await;
    let order = Order::new("o", [Deed::Swallowed(break_connection)]);
    let own = apply(&bed.pool, &order).await;
    assert!(matches!(own, Err(Error::CommitUnknown)), "{own:?}");
    let mut tx = bed.pool.begin().await.unwrap();
    let joined = apply(&mut tx, &order).await;
    assert!(matches!(joined, Err(Error::Store(_))), "{joined:?}");
    assert!(tx.commit().await.is_err());
    assert_eq!(
        (effects(&bed.pool, "o").await, claims(&bed.pool).await),
        (0, 0)
    );
    let again = apply(&bed.pool, &Order::plain("o")).await;
    assert!(again.unwrap().is_executed());
}

/// Cure: an error rolls back the claim with the effect.
#[tokio::test]
async fn a_failed_handler_leaves_nothing_and_runs_again() {
    let bed = Bed::start(4).await;
    for _ in 0..3 {
        let failed = apply(&bed.pool, &Order::new("o", [Deed::Fail])).await;
        assert!(
            matches!(failed, Err(Error::Handler(sqlx::Error::RowNotFound))),
            "{failed:?}"
        );
        assert_eq!(
            (effects(&bed.pool, "o").await, claims(&bed.pool).await),
            (0, 0)
        );
    }
    assert_eq!(
        apply(&bed.pool, &Order::plain("o")).await.unwrap(),
        Outcome::Executed(7)
    );
    bed.assert_no_open_transaction().await;
}

/// Cure: the guard closes the connection of a call that is dropped before its end.
#[tokio::test]
async fn a_panic_in_the_body_leaves_nothing() {
    let bed = Bed::start(2).await;
    for _ in 0..5 {
        let order = Order::new("o", [Deed::Panic]);
        let caught = AssertUnwindSafe(apply(&bed.pool, &order))
            .catch_unwind()
            .await;
        assert!(caught.is_err());
    }
    assert_eq!(
        (effects(&bed.pool, "o").await, claims(&bed.pool).await),
        (0, 0)
    );
    assert_eq!(
        apply(&bed.pool, &Order::plain("o")).await.unwrap(),
        Outcome::Executed(7)
    );
    bed.assert_no_open_transaction().await;
}

/// Cure: a conflict is told by our own claim alone, never by the class of an error.
#[tokio::test]
async fn a_users_own_unique_violation_is_no_duplicate() {
    let bed = Bed::start(4).await;
    sql(
        &mut bed.pool.acquire().await.unwrap(),
        "INSERT INTO uniques (id) VALUES (1)",
    )
    .await
    .unwrap();
    let violate = Order::new("o", [Deed::Sql("INSERT INTO uniques (id) VALUES (1)")]);
    let failed = apply(&bed.pool, &violate).await;
    let Err(Error::Handler(sqlx::Error::Database(error))) = failed else {
        panic!("{failed:?}");
    };
    assert!(error.is_unique_violation(), "{error:?}");
    assert_eq!(
        (effects(&bed.pool, "o").await, claims(&bed.pool).await),
        (0, 0)
    );
}

/// Cure: the connection is armed to be closed from its acquisition to the end. Dropped at every point where the call waits,
/// it leaves no open transaction in the pool, and no effect without claim or claim without effect.
#[tokio::test]
async fn a_call_dropped_at_any_pending_point_leaves_all_or_nothing() {
    let bed = Bed::start(2).await;
    let (mut dropped, mut committed, mut whole) = (0, 0, None);
    // A reply that is there already is no point to wait at: rounds find them all.
    for (round, k) in points() {
        if whole == Some(round) {
            continue;
        }
        let order = Order::new(
            &format!("o{round}.{k}"),
            [Deed::Sql("INSERT INTO effects (id) VALUES ('more')")],
        );
        if drop_at_pending(k, apply(&bed.pool, &order)).await.is_some() {
            whole = Some(round);
            continue;
        }
        dropped += 1;
        bed.assert_no_open_transaction().await;
        let claimed = count(&bed.pool, "SELECT count(*) FROM idem_keys WHERE state = 1").await;
        assert_eq!(
            claims(&bed.pool).await,
            claimed,
            "a claim without its end, dropped at {k}"
        );
        let effects_before = effects(&bed.pool, &order.id).await;
        committed += effects_before;
        let expected = if effects_before == 1 {
            Outcome::Replayed(7)
        } else {
            Outcome::Executed(7)
        };
        assert_eq!(
            apply(&bed.pool, &order).await.unwrap(),
            expected,
            "dropped at {k}"
        );
        assert_eq!(effects(&bed.pool, &order.id).await, 1, "dropped at {k}");
    }
    println!("dropped at {dropped} points, {committed} had committed");
    assert!(dropped > 0);
}

/// The same inside the caller's transaction, whose COMMIT either keeps all of the rest or fails.
///
/// Cure: the savepoint's begin is not dropped half way. sqlx would queue a ROLLBACK of the caller's transaction
/// and let the caller's `commit()` say `Ok`.
#[tokio::test]
async fn a_joined_call_dropped_at_any_pending_point_never_falsifies_the_callers_commit() {
    let bed = Bed::start(2).await;
    let (mut dropped, mut whole_in) = (0, None);
    for (round, k) in points() {
        if whole_in == Some(round) {
            continue;
        }
        let (order, before) = (
            Order::plain(&format!("o{round}.{k}")),
            format!("before{round}.{k}"),
        );
        let mut tx = bed.pool.begin().await.unwrap();
        sql(
            &mut tx,
            &format!("INSERT INTO effects (id) VALUES ('{before}')"),
        )
        .await
        .unwrap();
        let whole = drop_at_pending(k, apply(&mut tx, &order)).await.is_some();
        let committed = tx.commit().await.is_ok();
        if whole {
            assert!(committed);
            whole_in = Some(round);
            continue;
        }
        dropped += 1;
        bed.assert_no_open_transaction().await;
        assert_eq!(
            effects(&bed.pool, &before).await,
            i64::from(committed),
            "dropped at {k}"
        );
        assert_eq!(
            effects(&bed.pool, &order.id).await,
            count(&bed.pool, &format!("SELECT count(*) FROM effects WHERE id = '{}' AND (SELECT count(*) FROM idem_keys WHERE state = 1) > 0", order.id)).await,
            "an effect without its claim, dropped at {k}"
        );
        let _outcome = apply(&bed.pool, &order).await.unwrap();
        assert_eq!(effects(&bed.pool, &order.id).await, 1, "dropped at {k}");
        sql(
            &mut bed.pool.acquire().await.unwrap(),
            "DELETE FROM idem_keys",
        )
        .await
        .unwrap();
    }
    assert!(dropped > 0);
}

/// Cure: duplicates wait in the process, before they acquire: on a pool of 4, two hundred of them neither time out
/// nor keep others from the pool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_duplicates_on_a_pool_of_four_make_one_effect() {
    let bed = Bed::start(4).await;
    let (here, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let order = Order::new("o", [Deed::Meet(here.clone(), go_on.clone())]);
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let (pool, order) = (bed.pool.clone(), order.clone());
        calls.spawn(async move { apply(&pool, &order).await.unwrap() });
    }
    here.acquire().await.unwrap().forget();
    if Bed::LOCKS_ROWS {
        // The winner holds one connection; nobody who waits holds another.
        let other = Order::plain("other");
        assert_eq!(
            apply(&bed.pool, &other).await.unwrap(),
            Outcome::Executed(7)
        );
    }
    go_on.add_permits(1);
    let outcomes = calls.join_all().await;
    let executed = outcomes
        .iter()
        .filter(|outcome| outcome.is_executed())
        .count();
    assert_eq!(
        (executed, outcomes.len(), effects(&bed.pool, "o").await),
        (1, 200, 1)
    );
}

/// Cure: a result that can't be read is an error, not a second execution and not an empty success.
#[tokio::test]
async fn an_unreadable_result_is_never_executed_again() {
    let bed = Bed::start(4).await;
    assert_eq!(
        apply(&bed.pool, &Order::plain("o")).await.unwrap(),
        Outcome::Executed(7)
    );
    for broken in ["'not json'", "NULL", "'\"text\"'", "'{}'"] {
        let update = format!(
            "UPDATE idem_keys SET result = {}",
            Bed::text_as_bytes(broken)
        );
        sql(&mut bed.pool.acquire().await.unwrap(), &update)
            .await
            .unwrap();
        let next = apply(&bed.pool, &Order::plain("o")).await;
        assert!(
            matches!(next, Err(Error::ResultUndecodable)),
            "{broken}: {next:?}"
        );
    }
    assert_eq!(effects(&bed.pool, "o").await, 1);
}

/// Cure: a claim that was told of a row which is gone tries again, bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_races_claims_fails_none_of_them() {
    let bed = Bed::start(6).await;
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let pool = bed.another_pool().await;
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
                &mut bed.pool.acquire().await.unwrap(),
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
    bed.assert_no_open_transaction().await;
}

/// Cure: the claim is a savepoint's, so that a nested handler's failure takes back its own effect and nothing else.
#[tokio::test]
async fn nested_handlers_share_the_callers_transaction() {
    let bed = Bed::start(4).await;
    let mut tx = bed.pool.begin().await.unwrap();
    assert_eq!(
        apply(&mut tx, &Order::plain("a")).await.unwrap(),
        Outcome::Executed(7)
    );
    assert_eq!(
        apply(&mut tx, &Order::plain("a")).await.unwrap(),
        Outcome::Replayed(7)
    );
    let failed = apply(&mut tx, &Order::new("b", [Deed::Fail])).await;
    assert!(matches!(failed, Err(Error::Handler(_))), "{failed:?}");
    let leaked = apply(&mut tx, &Order::new("c", [Deed::LeakNested])).await;
    assert!(matches!(leaked, Err(Error::RolledBack)), "{leaked:?}");
    assert_eq!(
        apply(&mut tx, &Order::plain("d")).await.unwrap(),
        Outcome::Executed(7)
    );
    tx.commit().await.unwrap();
    let mut found = Vec::new();
    for id in ["a", "b", "c", "d"] {
        found.push(effects(&bed.pool, id).await);
    }
    assert_eq!(found, [1, 0, 0, 1]);
    assert_eq!(
        apply(&bed.pool, &Order::plain("d")).await.unwrap(),
        Outcome::Replayed(7)
    );
    bed.assert_no_open_transaction().await;
}

/// A call on a connection that is in no transaction has its own; the connection serves on afterwards.
#[tokio::test]
async fn a_connection_without_a_transaction_gets_one() {
    let bed = Bed::start(2).await;
    let mut conn = bed.pool.acquire().await.unwrap();
    assert_eq!(
        apply(&mut conn, &Order::plain("a")).await.unwrap(),
        Outcome::Executed(7)
    );
    assert_eq!(
        apply(&mut *conn, &Order::plain("a")).await.unwrap(),
        Outcome::Replayed(7)
    );
    let failed = apply(&mut *conn, &Order::new("b", [Deed::Fail])).await;
    assert!(matches!(failed, Err(Error::Handler(_))), "{failed:?}");
    assert_eq!(
        apply(&mut *conn, &Order::plain("b")).await.unwrap(),
        Outcome::Executed(7)
    );
    assert!(!conn.is_in_transaction());
    drop(conn);
    bed.assert_no_open_transaction().await;
    assert_eq!(
        (effects(&bed.pool, "a").await, effects(&bed.pool, "b").await),
        (1, 1)
    );
}

/// Cure: the guard is armed for the whole call, also after it has asked first because its scope sees many duplicates.
#[tokio::test]
async fn a_failure_after_a_storm_of_duplicates_leaves_nothing() {
    #[idempotent(key = "order.id", scope = "laws.stormy")]
    async fn stormy(tx: &mut Conn, order: &Order) -> Result<i64, sqlx::Error> {
        perform(tx, order).await
    }
    let bed = Bed::start(2).await;
    for _ in 0..10 {
        let outcome = stormy(&bed.pool, &Order::plain("stormy")).await.unwrap();
        assert_eq!(outcome.into_inner(), 7);
    }
    let mut conn = bed.pool.acquire().await.unwrap();
    let failed = stormy(&mut *conn, &Order::new("a", [Deed::Fail])).await;
    assert!(matches!(failed, Err(Error::Handler(_))), "{failed:?}");
    drop(conn);
    let failed = stormy(&bed.pool, &Order::new("b", [Deed::Fail])).await;
    assert!(matches!(failed, Err(Error::Handler(_))), "{failed:?}");
    bed.assert_no_open_transaction().await;
    assert_eq!(
        (effects(&bed.pool, "a").await, effects(&bed.pool, "b").await),
        (0, 0)
    );
    for id in ["a", "b"] {
        assert_eq!(
            stormy(&bed.pool, &Order::plain(id)).await.unwrap(),
            Outcome::Executed(7)
        );
    }
}

/// Cure: without a key the fence is a savepoint; events and effect are there both or not at all.
#[tokio::test]
async fn an_outbox_without_a_key_is_fenced_too() {
    let bed = Bed::start(4).await;
    assert_eq!(keyless(&bed.pool, &Order::plain("ok")).await.unwrap(), 7);
    assert_eq!(
        (effects(&bed.pool, "ok").await, events(&bed.pool).await),
        (1, 1)
    );
    for deeds in [
        vec![Deed::Sql("ROLLBACK")],
        vec![Deed::Sql("ROLLBACK"), Deed::Sql("BEGIN")],
        vec![Deed::Sql("COMMIT")],
        vec![Deed::Sql("COMMIT"), Deed::Sql("BEGIN")],
        vec![Deed::LeakNested],
    ] {
        let lost = keyless(&bed.pool, &Order::new("lost", deeds.clone())).await;
        assert!(
            matches!(lost, Err(Error::RolledBack)),
            "{deeds:?}: {lost:?}"
        );
        assert_eq!(events(&bed.pool).await, 1, "{deeds:?}");
    }
    let failed = keyless(&bed.pool, &Order::new("failed", [Deed::Fail])).await;
    assert!(matches!(failed, Err(Error::Handler(_))), "{failed:?}");
    assert_eq!(
        (effects(&bed.pool, "failed").await, events(&bed.pool).await),
        (0, 1)
    );
    bed.assert_no_open_transaction().await;
}

/// Cure: a conflict that the database decides is met by another attempt on a fresh transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_in_the_body_are_retried_when_told_to() {
    let bed = Bed::start(8).await;
    let Some([forward, backward]) = Bed::DEADLOCK else {
        return; // One writer at a time: nothing can conflict inside a body.
    };
    for round in 0..2 {
        let (here, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let mut calls = JoinSet::new();
        for (name, [first, second]) in [("f", forward), ("b", backward)] {
            let order = Order::new(
                &format!("{name}{round}"),
                [
                    Deed::Sql(first),
                    Deed::Meet(here.clone(), go_on.clone()),
                    Deed::Sql(second),
                ],
            );
            let pool = bed.pool.clone();
            calls.spawn(async move { retried(&pool, &order).await.unwrap() });
        }
        // Both hold their first row; then each asks for the other's. The second attempt of the loser meets nobody.
        here.acquire_many(2).await.unwrap().forget();
        go_on.add_permits(8);
        assert_eq!(
            calls.join_all().await,
            [Outcome::Executed(7), Outcome::Executed(7)]
        );
        assert_eq!(effects(&bed.pool, &format!("f{round}")).await, 1);
        assert_eq!(effects(&bed.pool, &format!("b{round}")).await, 1);
    }
    bed.assert_no_open_transaction().await;
}

/// Cure: the unique constraint alone decides. Four processes deliver the same hundred orders at once.
#[tokio::test]
async fn the_same_keys_from_four_processes_make_one_effect_each() {
    let bed = Bed::start(4).await;
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
                .env("IDEM_TESTS_DELIVER_TO", &bed.url)
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
    assert_eq!(count(&bed.pool, "SELECT count(*) FROM effects").await, 100);
    assert_eq!(
        count(&bed.pool, "SELECT count(DISTINCT id) FROM effects").await,
        100
    );
}

/// What each of the four processes above runs; alone it has nothing to do.
#[tokio::test]
async fn deliveries_of_one_process() {
    let Ok(url) = std::env::var("IDEM_TESTS_DELIVER_TO") else {
        return;
    };
    let pool = Bed::connect(&url, 4).await;
    let mut executed = 0;
    for id in 0..100 {
        let outcome = apply(&pool, &Order::plain(&format!("o{id}")))
            .await
            .unwrap();
        executed += usize::from(outcome.is_executed());
    }
    println!("executed={executed}");
}
