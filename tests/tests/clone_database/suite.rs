//! What holds on every database.

use idem_testing::__internals::{CloneDatabase, DatabaseCopy, Mask, Snapshot, Value, compare};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor, raw_sql};

/// A statement that each database understands.
pub(crate) const EFFECT: &str = "UPDATE accounts SET balance = balance - 10 WHERE id = 1; \
    INSERT INTO orders (account, note) VALUES (1, 'x'); INSERT INTO log (text) VALUES ('y')";

/// Runs a batch on a connection of its own.
pub(crate) async fn run<DB: CloneDatabase>(template: &DB::Template, copy: &DatabaseCopy, sql: &str)
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let conn = left_open::<DB>(template, copy, sql).await;
    conn.close().await.unwrap();
}

/// Runs a batch, and gives the connection as it then is.
pub(crate) async fn left_open<DB: CloneDatabase>(
    template: &DB::Template,
    copy: &DatabaseCopy,
    sql: &str,
) -> DB::Connection
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let options = DB::connect_options(template, copy, None);
    let mut conn = options.connect().await.unwrap();
    let sql = AssertSqlSafe(sql.to_owned());
    raw_sql(sql).execute(&mut conn).await.unwrap();
    conn
}

pub(crate) async fn snapshot_of_copy<DB: CloneDatabase>(template: &DB::Template) -> Snapshot {
    let copy = DB::copy(template).await.unwrap();
    let snapshot = DB::snapshot(template, &copy).await.unwrap();
    DB::discard(template, copy).await.unwrap();
    snapshot
}

/// What a run leaves on a copy of its own.
async fn run_on_copy<DB: CloneDatabase>(
    template: &DB::Template,
    sql: &str,
    advanced: bool,
) -> Snapshot
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let copy = DB::copy(template).await.unwrap();
    if advanced {
        DB::advance_sequences(template, &copy).await.unwrap();
    }
    run::<DB>(template, &copy, sql).await;
    let snapshot = DB::snapshot(template, &copy).await.unwrap();
    DB::discard(template, copy).await.unwrap();
    snapshot
}

/// What a run does to its copy is in that copy, and nowhere else.
pub(crate) async fn a_copy_shows_what_was_done_to_it_and_to_no_other<DB: CloneDatabase>(url: &str)
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let template = DB::open_template(url).await.unwrap();
    let (one, other) = tokio::join!(DB::copy(&template), DB::copy(&template));
    let (one, other) = (one.unwrap(), other.unwrap());
    let before = DB::snapshot(&template, &other).await.unwrap();
    assert_eq!(before.rows("accounts").len(), 2);
    run::<DB>(&template, &one, EFFECT).await;
    let changed = DB::snapshot(&template, &one).await.unwrap();
    assert_eq!(changed.rows("orders").len(), 1);
    assert!(
        DB::snapshot(&template, &other)
            .await
            .unwrap()
            .is_same(&before)
    );
    DB::discard(&template, one).await.unwrap();
    DB::discard(&template, other).await.unwrap();
    DB::close_template(template).await.unwrap();
}

/// A copy that was used is given out again, and is as one that was not: rows, and numbers that the
/// database makes up where it can set them back.
pub(crate) async fn a_used_copy_is_as_a_fresh_one<DB: CloneDatabase>(url: &str)
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let template = DB::open_template(url).await.unwrap();
    let fresh = snapshot_of_copy::<DB>(&template).await;
    for change in [
        EFFECT,
        "DELETE FROM orders; DELETE FROM accounts",
        "INSERT INTO accounts VALUES (3, 1)",
        "CREATE TABLE more (id INTEGER)",
        "DROP TABLE orders",
        "CREATE VIEW rich AS SELECT id FROM accounts",
        "ALTER TABLE accounts ADD COLUMN note INTEGER",
    ] {
        let changed = run_on_copy::<DB>(&template, change, false).await;
        assert!(!changed.is_same(&fresh), "{change}");
        let again = snapshot_of_copy::<DB>(&template).await;
        assert!(again.is_same(&fresh), "after {change}: {again:#?}");
    }
    let copy = DB::copy(&template).await.unwrap();
    // Fails where the copy in which it was created is given out again.
    run::<DB>(
        &template,
        &copy,
        "CREATE VIEW rich AS SELECT id FROM accounts",
    )
    .await;
    DB::discard(&template, copy).await.unwrap();
    DB::close_template(template).await.unwrap();
}

/// A run that was killed leaves transactions and locks.
pub(crate) async fn a_copy_in_use_is_discarded<DB: CloneDatabase>(url: &str)
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let template = DB::open_template(url).await.unwrap();
    let fresh = snapshot_of_copy::<DB>(&template).await;
    let copy = DB::copy(&template).await.unwrap();
    let mut stuck = left_open::<DB>(&template, &copy, &format!("BEGIN; {EFFECT}")).await;
    DB::discard(&template, copy).await.unwrap();
    // It does not matter whether it can; it must not reach the next copy.
    let _ = raw_sql("COMMIT").execute(&mut stuck).await;
    assert!(snapshot_of_copy::<DB>(&template).await.is_same(&fresh));
    drop(stuck);
    DB::close_template(template).await.unwrap();
}

/// What a run left open is named, what it did not commit is not seen, and its locks are not waited
/// for.
pub(crate) async fn a_transaction_left_open_is_named_and_not_waited_for<DB: CloneDatabase>(
    url: &str,
    named: &str,
) where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let template = DB::open_template(url).await.unwrap();
    let copy = DB::copy(&template).await.unwrap();
    let fresh = DB::snapshot(&template, &copy).await.unwrap();
    let none = Vec::<String>::new();
    assert_eq!(DB::open_transactions(&template, &copy).await.unwrap(), none);

    let mut stuck = left_open::<DB>(&template, &copy, &format!("BEGIN; {EFFECT}")).await;
    let open = DB::open_transactions(&template, &copy).await.unwrap();
    assert!(open.len() == 1 && open[0].contains(named), "{open:?}");
    assert!(
        DB::snapshot(&template, &copy)
            .await
            .unwrap()
            .is_same(&fresh)
    );

    raw_sql("COMMIT").execute(&mut stuck).await.unwrap();
    assert_eq!(DB::open_transactions(&template, &copy).await.unwrap(), none);
    stuck.close().await.unwrap();
    DB::discard(&template, copy).await.unwrap();
    DB::close_template(template).await.unwrap();
}

/// Each source of numbers skips another amount, so that no number is that of another table by
/// chance.
pub(crate) async fn burned_numbers_are_others_in_each_table<DB: CloneDatabase>(url: &str)
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let template = DB::open_template(url).await.unwrap();
    let ids = |snapshot: &Snapshot| {
        let of = |table| snapshot.rows(table)[0][0].clone();
        (of("orders"), of("log"))
    };
    let first = ids(&run_on_copy::<DB>(&template, EFFECT, false).await);
    let advanced = ids(&run_on_copy::<DB>(&template, EFFECT, true).await);
    assert!(
        advanced.0 != first.0 && advanced.1 != first.1 && advanced.0 != advanced.1,
        "{first:?} {advanced:?}"
    );
    DB::close_template(template).await.unwrap();
}

/// From clean runs to a verdict: what the database makes up is matched, and a second effect is
/// found.
pub(crate) async fn generated_values_are_matched_and_a_second_effect_is_found<DB: CloneDatabase>(
    url: &str,
) where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let template = DB::open_template(url).await.unwrap();
    let base = snapshot_of_copy::<DB>(&template).await;
    let clean = [
        run_on_copy::<DB>(&template, EFFECT, false).await,
        run_on_copy::<DB>(&template, EFFECT, false).await,
        run_on_copy::<DB>(&template, EFFECT, true).await,
    ];
    let mask = Mask::calibrate(&clean, &base).unwrap();
    assert!(
        mask.hides("orders", "id") && !mask.hides("accounts", "balance"),
        "{:?}",
        mask.lines()
    );

    let sound = run_on_copy::<DB>(&template, EFFECT, true).await;
    assert_eq!(compare(&clean[0], &sound, &mask), []);

    let twice = run_on_copy::<DB>(&template, &format!("{EFFECT}; {EFFECT}"), false).await;
    let found = compare(&clean[0], &twice, &mask);
    let tables: Vec<_> = found.iter().map(|one| one.table().to_owned()).collect();
    assert_eq!(tables, ["accounts", "log", "orders"]);
    assert_eq!(
        found[0].to_string(),
        "table accounts\n  ~ id 1: balance is 80, should be 90"
    );
    DB::close_template(template).await.unwrap();
}

/// Copies, sequences that are moved on and runs are all somewhere else.
pub(crate) async fn the_template_is_never_changed<DB: CloneDatabase>(url: &str)
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let template = DB::open_template(url).await.unwrap();
    let before = snapshot_of_copy::<DB>(&template).await;
    for advanced in [true, false] {
        run_on_copy::<DB>(&template, EFFECT, advanced).await;
    }
    DB::close_template(template).await.unwrap();

    let template = DB::open_template(url).await.unwrap();
    assert!(snapshot_of_copy::<DB>(&template).await.is_same(&before));
    let first = run_on_copy::<DB>(&template, EFFECT, false).await;
    assert_eq!(first.rows("orders")[0][0], Value::Number("8".into()));
    DB::close_template(template).await.unwrap();
}

pub(crate) async fn setup_error<DB: CloneDatabase>(url: &str) -> String {
    match DB::open_template(url).await {
        Ok(_) => panic!("{url} is fit"),
        Err(error) => error.to_string(),
    }
}

/// Tests of one database: each is a law of this file under its own name.
macro_rules! laws {
    ($database:ty, [$($law:ident),* $(,)?]) => {
        $(
            #[tokio::test]
            async fn $law() {
                let database = database().await;
                $crate::suite::$law::<$database>(database.url()).await;
            }
        )*
    };
}

pub(crate) use laws;
