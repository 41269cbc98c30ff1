//! A transaction that raw SQL began, where a call expects none: it is somebody else's, and no call
//! touches it.

use std::io;
use std::sync::{Arc, Mutex};

use idem_runtime::Error;
use sqlx::{AssertSqlSafe, Connection as _, Database as _, raw_sql};

use super::handlers::{apply, effect, keyless, place};
use super::{Conn, another_pool, claims, outbox_rows, start};
use crate::model::{Order, Refusal};

type Database = <Conn as sqlx::Connection>::Database;

/// How raw SQL begins a transaction, and how it ends it.
struct Foreign {
    begin: &'static [&'static str],
    commit: &'static [&'static str],
    rollback: &'static [&'static str],
    writes: bool,
}

const COMMIT: &[&str] = &["COMMIT"];
const ROLLBACK: &[&str] = &["ROLLBACK"];

const fn foreign(begin: &'static [&'static str], writes: bool) -> Foreign {
    Foreign {
        begin,
        commit: COMMIT,
        rollback: ROLLBACK,
        writes,
    }
}

const POSTGRES: &[Foreign] = &[
    foreign(&["BEGIN"], true),
    foreign(
        &["BEGIN ISOLATION LEVEL SERIALIZABLE", "SAVEPOINT mine"],
        true,
    ),
    foreign(&["START TRANSACTION READ ONLY"], false),
    foreign(&["BEGIN", "COMMIT AND CHAIN"], true),
    // Aborted: its COMMIT is a ROLLBACK, with or without a call.
    foreign(&["BEGIN", "SELECT 1/0"], false),
];

const MYSQL: &[Foreign] = &[
    foreign(&["BEGIN"], true),
    foreign(&["START TRANSACTION", "SAVEPOINT mine"], true),
    foreign(&["START TRANSACTION READ ONLY"], false),
    foreign(&["SET autocommit = 0", "SELECT id FROM effects"], true),
    Foreign {
        begin: &["XA START 'xid'"],
        commit: &["XA END 'xid'", "XA COMMIT 'xid' ONE PHASE"],
        rollback: &["XA END 'xid'", "XA ROLLBACK 'xid'"],
        writes: true,
    },
];

const SQLITE: &[Foreign] = &[
    foreign(&["BEGIN"], true),
    foreign(&["BEGIN IMMEDIATE"], true),
    foreign(&["SAVEPOINT mine"], true),
    foreign(&["BEGIN", "SAVEPOINT mine"], true),
];

fn all() -> &'static [Foreign] {
    match Database::NAME {
        "PostgreSQL" => POSTGRES,
        "MySQL" => MYSQL,
        _ => SQLITE,
    }
}

/// Runs statements; one that is meant to fail does. No two transactions of a server may have the
/// same `xid`.
async fn run(conn: &mut Conn, statements: &[&str], xid: &str) {
    for statement in statements {
        let sql = AssertSqlSafe(statement.replace("'xid'", &format!("'{xid}'")));
        let _failed = raw_sql(sql).execute(&mut *conn).await;
    }
}

fn is_foreign<T: std::fmt::Debug>(result: &Result<T, Error<Refusal>>, of: &Foreign) {
    assert!(
        matches!(result, Err(Error::ForeignTransaction)),
        "{:?}: {result:?}",
        of.begin
    );
}

/// Guards: a call on a connection asks, without touching anything, whether a transaction is open
/// before it begins its own.
#[tokio::test]
async fn a_callers_raw_transaction_is_refused_and_untouched() {
    let db = start().await;
    let known = Order::new("known");
    assert!(place(&db.pool, &known).await.unwrap().is_executed());
    let before = (claims(&db).await, outbox_rows(&db).await);
    for foreign in all() {
        for (end, commits) in [(foreign.commit, true), (foreign.rollback, false)] {
            let mut pooled = db.pool.acquire().await.unwrap();
            // Its settings would last.
            pooled.close_on_drop();
            run(&mut pooled, foreign.begin, db.database().name()).await;
            if foreign.writes {
                effect(&mut pooled, "first").await.unwrap();
            }
            for order in [&known, &Order::new("new")] {
                is_foreign(&place(&mut pooled, order).await, foreign);
                is_foreign(&apply(&mut *pooled, order).await, foreign);
                is_foreign(&keyless(&mut *pooled, order).await, foreign);
                is_foreign(&keyless(&mut pooled, order).await, foreign);
            }
            if foreign.writes {
                let second = effect(&mut pooled, "second").await;
                assert!(second.is_ok(), "{:?}", foreign.begin);
            }
            run(&mut pooled, end, db.database().name()).await;
            let expected: &[&str] = if foreign.writes && commits {
                &["first", "known", "second"]
            } else {
                &["known"]
            };
            assert_eq!(db.effects().await, expected, "{:?} {end:?}", foreign.begin);
            assert_eq!((claims(&db).await, outbox_rows(&db).await), before);
            if foreign.begin[0] != "SET autocommit = 0" {
                // Once it has ended, the connection serves calls again.
                let order = Order::new(&format!("after{commits}"));
                assert!(apply(&mut *pooled, &order).await.unwrap().is_executed());
                assert!(!apply(&mut pooled, &order).await.unwrap().is_executed());
            }
            drop(pooled);
            db.execute("DELETE FROM effects WHERE id <> 'known'").await;
            db.execute("DELETE FROM idem_keys WHERE scope = 'contract.apply'")
                .await;
        }
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Guards: a pool's connection that somebody left in a transaction is closed with a warning, and
/// the call takes another one, however many there are.
#[tokio::test]
async fn a_pools_connections_that_were_left_in_a_transaction_are_replaced() {
    let db = start().await;
    let known = Order::new("known");
    assert!(place(&db.pool, &known).await.unwrap().is_executed());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = idem_tests::subscribe(subscriber);
    let pool = another_pool(&db).await;
    for (index, foreign) in all().iter().enumerate() {
        let duplicate = index % 2 == 1;
        log.0.lock().unwrap().clear();
        let mut left = Vec::new();
        for _ in 0..2 {
            left.push(pool.acquire().await.unwrap());
        }
        for (index, conn) in left.iter_mut().enumerate() {
            // Where there is one writer at a time, it is the first.
            let begin = match foreign.begin {
                ["BEGIN IMMEDIATE"] if index > 0 => &["BEGIN"],
                begin => begin,
            };
            run(conn, begin, &format!("{}-{index}", db.database().name())).await;
        }
        if foreign.writes {
            effect(&mut left[0], "left behind").await.unwrap();
        }
        for conn in &mut left {
            // The pool asks a connection whether it lives when it takes it back.
            conn.ping().await.unwrap();
        }
        drop(left);
        let order = if duplicate {
            known.clone()
        } else {
            Order::new(&format!("new{index}"))
        };
        let outcome = place(&pool, &order).await.unwrap();
        assert_eq!(outcome.is_executed(), !duplicate, "{:?}", foreign.begin);
        let receipt = keyless(&pool, &Order::new("keyless")).await.unwrap();
        assert_eq!(receipt.order, "keyless");
        // The last of them is found by the call that takes it.
        for _ in 0..2 {
            assert!(!place(&pool, &order).await.unwrap().is_executed());
        }
        let left = db.effects().await;
        assert!(
            !left.contains(&"left behind".to_owned()),
            "{:?}: {left:?}",
            foreign.begin
        );
        assert!(left.contains(&order.id), "{left:?}");
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let warned = log.lines().any(|line| {
            line.contains("WARN") && line.contains("a connection of the pool was in a transaction")
        });
        assert!(warned, "{:?}: {log}", foreign.begin);
    }
}
