//! The database that handlers are explored on, and what all of them do with it.

use std::collections::BTreeSet;
use std::fmt::Debug;

use idem_testing::{Explorer, FaultKind, Report, ViolationKind};
use idem_tests::server::Database;
use sqlx::{AssertSqlSafe, raw_sql};

use super::{Conn, FAILED, IDENTITY, LOST, Pool, database};

/// A migrated database with one account, which holds 100.
pub(crate) async fn template() -> Database {
    template_with("").await
}

/// The same with more tables.
pub(crate) async fn template_with(more: &str) -> Database {
    let database = database().await;
    let pool = Pool::connect(database.url()).await.unwrap();
    idem_runtime::migrate(&pool).await.unwrap();
    let tables = format!(
        "CREATE TABLE accounts (id integer PRIMARY KEY, balance bigint NOT NULL);
         INSERT INTO accounts VALUES (1, 100);
         CREATE TABLE payments (id varchar(64) NOT NULL, amount bigint NOT NULL);
         CREATE TABLE seen (id varchar(64) PRIMARY KEY, result varchar(64));
         CREATE TABLE outbox (id varchar(64) NOT NULL, what varchar(64) NOT NULL);
         CREATE TABLE orders (id {IDENTITY}, customer varchar(64) NOT NULL, token varchar(36),
                              placed_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP);
         CREATE TABLE articles (id {IDENTITY}, order_id bigint NOT NULL REFERENCES orders (id), article varchar(64) NOT NULL)"
    );
    raw_sql(AssertSqlSafe(tables)).execute(&pool).await.unwrap();
    if !more.is_empty() {
        let more = AssertSqlSafe(more.to_owned());
        raw_sql(more).execute(&pool).await.unwrap();
    }
    pool.close().await;
    database
}

/// Explores a function in these kinds of faults.
pub(crate) async fn explored<T: Debug>(
    kinds: &[FaultKind],
    handler: impl AsyncFn(Pool) -> Result<T, sqlx::Error>,
) -> Report {
    let template = template().await;
    let explorer = Explorer::new(template.url()).fault_kinds(kinds.iter().copied());
    explorer.run_with(handler).await
}

/// The mistake of a function is found as this kind of violation under each of these kinds of
/// faults. No others are injected: nothing would be expected of them.
pub(crate) async fn found<T: Debug>(
    violation: ViolationKind,
    kinds: &[FaultKind],
    handler: impl AsyncFn(Pool) -> Result<T, sqlx::Error>,
) {
    found_on("", violation, kinds, handler).await;
}

/// The same on a template with more tables.
pub(crate) async fn found_on<T: Debug>(
    more: &str,
    violation: ViolationKind,
    kinds: &[FaultKind],
    handler: impl AsyncFn(Pool) -> Result<T, sqlx::Error>,
) {
    let template = template_with(more).await;
    let explorer = Explorer::new(template.url()).fault_kinds(kinds.iter().copied());
    let report = explorer.run_with(handler).await;
    let faults: Vec<_> = kinds.iter().copied().map(Some).collect();
    assert_found(&report, violation, &faults);
}

/// No run of a sound function finds a violation, where each delivery comes again: after a lost
/// acknowledgement, after a statement that failed, in a row and at once. How a connection dies and
/// with which error a statement fails is left to the handlers of `sound.rs`.
pub(crate) async fn explored_soundly<T: Debug>(
    more: &str,
    handler: impl AsyncFn(Pool) -> Result<T, sqlx::Error>,
) {
    let template = template_with(more).await;
    let kinds = [LOST, FAILED, FaultKind::Sequential, FaultKind::Concurrent];
    let explorer = Explorer::new(template.url()).fault_kinds(kinds);
    let report = explorer.run_with(handler).await;
    report.assert_holds();
    let visited: BTreeSet<_> = report.runs().keys().copied().collect();
    assert_eq!(visited, BTreeSet::from(kinds));
}

pub(crate) async fn sql(conn: &mut Conn, text: impl Into<String>) -> Result<(), sqlx::Error> {
    raw_sql(AssertSqlSafe(text.into()))
        .execute(conn)
        .await
        .map(drop)
}

/// Half of the effect.
pub(crate) async fn credit(conn: &mut Conn) -> Result<(), sqlx::Error> {
    sql(
        conn,
        "UPDATE accounts SET balance = balance + 5 WHERE id = 1",
    )
    .await
}

/// The other half.
pub(crate) async fn book(conn: &mut Conn, id: &str) -> Result<(), sqlx::Error> {
    sql(
        conn,
        format!("INSERT INTO payments (id, amount) VALUES ('{id}', 5)"),
    )
    .await
}

/// Claims an ID as careful people do by hand. `false`: it is taken.
pub(crate) async fn claim(conn: &mut Conn, id: &str) -> Result<bool, sqlx::Error> {
    match sql(conn, format!("INSERT INTO seen (id) VALUES ('{id}')")).await {
        Ok(()) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The mistake is found as this kind of violation under these kinds of faults, and the report can
/// be read.
#[track_caller]
pub(crate) fn assert_found(
    report: &Report,
    violation: ViolationKind,
    faults: &[Option<FaultKind>],
) {
    println!("{report}");
    let found: Vec<_> = report
        .violations()
        .iter()
        .map(|violation| {
            let fault = violation.fault().map(|fault| fault.kind());
            (violation.kind(), fault)
        })
        .collect();
    assert_eq!(report.setup_error(), None);
    for fault in faults {
        assert!(
            found.contains(&(violation, *fault)),
            "{violation:?} under {fault:?} is not among {found:?}"
        );
    }
}
