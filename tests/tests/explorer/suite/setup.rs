//! Explorations that would prove nothing do not hold.

use idem_runtime::idempotent;
use idem_testing::{Explorer, FaultKind};

use super::template::{book, explored, sql, template};
use super::{Conn, Pool};

#[idempotent(key = "id", scope = "explorer.books", handler = Books)]
async fn books(tx: &mut Conn, id: &String) -> Result<(), sqlx::Error> {
    book(tx, id).await
}

/// Guards: `Exploration::expect_runs`, by which a report without a run is an error, not a success.
#[tokio::test]
async fn an_exploration_that_visits_nothing_does_not_hold() {
    let template = template().await;
    let explorer = Explorer::new(template.url()).fault_kinds([]);
    let report = explorer.run::<Books>(&"evt-1".to_owned()).await;
    assert!(!report.holds());
    let report = explorer
        .run_with(async |pool: Pool| book(&mut *pool.acquire().await?, "evt-1").await)
        .await;
    assert!(!report.holds(), "{report}");
    assert!(
        report
            .setup_error()
            .unwrap()
            .contains("no point was visited"),
        "{report}"
    );
}

/// Guards: `calibrate`, since every comparison holds if a clean run changes nothing.
#[tokio::test]
async fn a_delivery_that_changes_nothing_does_not_hold() {
    let report = explored(&[FaultKind::Sequential], async |pool: Pool| {
        let nobody = "UPDATE accounts SET balance = balance + 5 WHERE id = 404";
        sql(&mut *pool.acquire().await?, nobody).await
    });
    let report = report.await;
    assert!(!report.holds(), "{report}");
    assert!(
        report.setup_error().unwrap().contains("changed nothing"),
        "{report}"
    );
}
