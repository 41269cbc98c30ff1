//! SQLite.

use idem_runtime::migrate;
use idem_testing::__internals::{CloneDatabase as _, Value};
use idem_tests::server::{self, Database};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Sqlite, SqlitePool};

use crate::suite;

const TABLES: &str = "
CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
INSERT INTO accounts VALUES (1, 100), (2, 200);
CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, account INTEGER NOT NULL REFERENCES accounts,
    note TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
INSERT INTO orders (id, account, note) VALUES (7, 1, 'gone');
DELETE FROM orders;
CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT);";

pub(crate) async fn database() -> Database {
    let database = server::sqlite();
    let pool = SqlitePool::connect(database.url()).await.unwrap();
    migrate(&pool).await.unwrap();
    pool.execute(TABLES).await.unwrap();
    pool.close().await;
    database
}

suite::laws!(
    Sqlite,
    [
        a_copy_shows_what_was_done_to_it_and_to_no_other,
        a_used_copy_is_as_a_fresh_one,
        a_copy_in_use_is_discarded,
        burned_numbers_are_others_in_each_table,
        generated_values_are_matched_and_a_second_effect_is_found,
        the_template_is_never_changed,
    ]
);

#[tokio::test]
async fn a_transaction_left_open_is_named_and_not_waited_for() {
    let database = database().await;
    let law = suite::a_transaction_left_open_is_named_and_not_waited_for::<Sqlite>;
    law(database.url(), "has not ended its transaction").await;
}

#[tokio::test]
async fn what_can_not_be_explored_is_refused_with_the_fix() {
    let empty = server::sqlite();
    SqlitePool::connect(empty.url())
        .await
        .unwrap()
        .close()
        .await;
    let why = suite::setup_error::<Sqlite>(empty.url()).await;
    assert!(why.contains("idem_runtime::migrate(&pool).await"), "{why}");
    for url in ["sqlite::memory:", "sqlite://x?mode=memory"] {
        let why = suite::setup_error::<Sqlite>(url).await;
        assert!(why.contains("give a file"), "{why}");
    }
    let missing = server::sqlite();
    let why = suite::setup_error::<Sqlite>(missing.url()).await;
    assert!(
        why.contains(missing.name()) && !std::path::Path::new(missing.name()).exists(),
        "{why}"
    );
}

/// The log next to the file holds what a copy of the file alone would not.
#[tokio::test]
async fn a_template_in_use_is_copied_whole_and_keeps_its_journal_mode() {
    let database = database().await;
    let pool = SqlitePool::connect(database.url()).await.unwrap();
    pool.execute("PRAGMA journal_mode = wal").await.unwrap();
    pool.execute("UPDATE accounts SET balance = 5")
        .await
        .unwrap();
    let template = Sqlite::open_template(database.url()).await.unwrap();
    let copy = Sqlite::copy(&template).await.unwrap();
    let snapshot = Sqlite::snapshot(&template, &copy).await.unwrap();
    assert!(
        snapshot
            .rows("accounts")
            .iter()
            .all(|row| row[1] == Value::Number("5".into()))
    );
    let mut conn = Sqlite::connect_options(&template, &copy, None)
        .connect()
        .await
        .unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!(mode, "wal");
    conn.close().await.unwrap();
    // The pool's locks are as they were.
    pool.execute("UPDATE accounts SET balance = 6")
        .await
        .unwrap();
    Sqlite::close_template(template).await.unwrap();
}

#[tokio::test]
async fn a_copy_that_is_locked_is_said_to_be() {
    let database = database().await;
    let template = Sqlite::open_template(database.url()).await.unwrap();
    let copy = Sqlite::copy(&template).await.unwrap();
    let stuck = suite::left_open::<Sqlite>(&template, &copy, "BEGIN EXCLUSIVE").await;
    let error = Sqlite::snapshot(&template, &copy)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a transaction that the run left open has locked it"),
        "{error}"
    );
    drop(stuck);
    Sqlite::close_template(template).await.unwrap();
}

/// The folder is locked by whoever uses it.
#[tokio::test]
async fn copies_of_the_dead_are_removed_and_those_of_the_living_are_not() {
    let database = database().await;
    let dead = std::env::temp_dir().join(format!("idem-copy-{:016x}", std::process::id()));
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("lock"), "").unwrap();
    let living = Sqlite::open_template(database.url()).await.unwrap();
    let copy = Sqlite::copy(&living).await.unwrap();
    let another = Sqlite::open_template(database.url()).await.unwrap();
    assert!(!dead.exists());
    assert!(std::path::Path::new(copy.name()).exists());
    let folder = std::path::Path::new(copy.name())
        .parent()
        .unwrap()
        .to_owned();
    Sqlite::close_template(living).await.unwrap();
    assert!(!folder.exists());
    Sqlite::close_template(another).await.unwrap();
}

#[tokio::test]
async fn values_of_every_kind_are_read_exactly() {
    let database = database().await;
    let pool = SqlitePool::connect(database.url()).await.unwrap();
    pool.execute(
        "CREATE TABLE \"odd \"\"Kinds\" (a, b, c, d, e, f AS (a || 'x'));
        INSERT INTO \"odd \"\"Kinds\" VALUES (1, '1', 1.0, X'3100', 0.1 + 0.2), (NULL, NULL, NULL, NULL, NULL);",
    )
    .await
    .unwrap();
    pool.close().await;
    let template = Sqlite::open_template(database.url()).await.unwrap();
    let snapshot = suite::snapshot_of_copy::<Sqlite>(&template).await;
    let number = |text: &str| Value::Number(text.into());
    let expected = [
        number("1"),
        Value::Text("1".into()),
        number("1.0"),
        Value::Bytes(vec![b'1', 0]),
        number("0.30000000000000004"),
        Value::Text("1x".into()),
    ];
    let rows = snapshot.rows("odd \"Kinds");
    assert!(rows[0].iter().all(|value| *value == Value::Null));
    assert_eq!(rows[1], expected);
    Sqlite::close_template(template).await.unwrap();
}
