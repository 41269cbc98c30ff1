//! What holds on every database.

use idem_runtime::__testing::{Lab, Snapshot, Specimen};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor, raw_sql};

/// Runs a batch on a connection of its own.
pub(crate) async fn run<DB: Lab>(template: &DB::Template, specimen: &Specimen, sql: &str)
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let options = DB::connect_options(template, specimen, None);
    let mut conn = options.connect().await.unwrap();
    raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
}

pub(crate) async fn snapshot_of_copy<DB: Lab>(template: &DB::Template) -> Snapshot {
    let copy = DB::copy(template).await.unwrap();
    let snapshot = DB::snapshot(template, &copy).await.unwrap();
    DB::discard(template, copy).await.unwrap();
    snapshot
}

/// What a run does to its copy is in that copy, and nowhere else.
pub(crate) async fn a_copy_shows_what_was_done_to_it_and_to_no_other<DB: Lab>(url: &str)
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let template = DB::open_template(url).await.unwrap();
    let before = snapshot_of_copy::<DB>(&template).await;
    assert_eq!(before.rows("accounts").len(), 2);

    let copy = DB::copy(&template).await.unwrap();
    run::<DB>(
        &template,
        &copy,
        "UPDATE accounts SET balance = 7 WHERE id = 1; INSERT INTO orders (account, note) VALUES (1, 'x')",
    )
    .await;
    let changed = DB::snapshot(&template, &copy).await.unwrap();
    assert!(!changed.is_same(&before));
    assert_eq!(changed.rows("orders").len(), 1);
    DB::discard(&template, copy).await.unwrap();

    let after = snapshot_of_copy::<DB>(&template).await;
    assert!(after.is_same(&before), "{before:?}\n{after:?}");
    DB::close_template(template).await.unwrap();
}
