//! Handlers that end, leak or swallow their transaction. Each test is named after the mistake.

use idem_runtime::idempotent;
use idem_testing::{Explorer, FaultKind, ViolationKind, explore};
use sqlx::Connection as _;

use super::template::{assert_found, book, claim, credit, explored, found, sql, template};
use super::{BEGIN_COMMITS, CUT, Conn, DDL_COMMITS, FAILED, LOST, Pool};

#[tokio::test]
async fn a_swallowed_error_is_found_when_a_statement_fails() {
    let report = explored(&[FAILED], async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if !claim(&mut tx, "evt-1").await? {
            return Ok(());
        }
        let _ = credit(&mut tx).await;
        tx.commit().await
    });
    let report = report.await;
    println!("{report}");
    assert!(report.violations().iter().any(|violation| {
        violation
            .fault()
            .is_some_and(|fault| fault.kind() == FAILED)
    }));
}

#[tokio::test]
async fn a_swallowed_commit_is_found_when_it_fails() {
    let report = explored(&[CUT], async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            credit(&mut tx).await?;
            let _ = tx.commit().await;
        }
        Ok(())
    });
    assert_found(
        &report.await,
        ViolationKind::Lost,
        if CUT == FaultKind::CutRequest {
            &[Some(FaultKind::CutRequest)]
        } else {
            &[]
        },
    );
}

#[idempotent(key = "id", scope = "explorer.commits", handler = Commits)]
async fn commits(tx: &mut Conn, id: &String) -> Result<(), sqlx::Error> {
    credit(tx).await?;
    sql(tx, "COMMIT").await?;
    book(tx, id).await
}

#[tokio::test]
async fn a_commit_inside_is_found_without_any_fault() {
    let template = template().await;
    let report = explore::<Commits>(template.url(), &"evt-1".to_owned()).await;
    assert_found(&report, ViolationKind::NeverSucceeds, &[None]);
    assert!(
        report.violations()[0].found()[0].contains("RolledBack"),
        "{report}"
    );
}

#[tokio::test]
async fn ddl_is_found_where_it_commits() {
    let template = template().await;
    // Where the database makes it sound, it must also stay so when it is delivered again.
    let kinds = [
        CUT,
        LOST,
        FAILED,
        FaultKind::Sequential,
        FaultKind::Concurrent,
    ];
    let explorer = Explorer::new(template.url()).fault_kinds(kinds);
    let report = explorer.run_with(async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if !claim(&mut tx, "evt-1").await? {
            return Ok(());
        }
        sql(&mut tx, "CREATE TABLE log_of_today (id varchar(64))").await?;
        credit(&mut tx).await?;
        tx.commit().await
    });
    let report = report.await;
    if DDL_COMMITS {
        assert_found(
            &report,
            ViolationKind::PartialCommit,
            &[Some(CUT), Some(FAILED)],
        );
    } else {
        report.assert_holds();
    }
}

#[tokio::test]
async fn a_nested_begin_is_found_where_it_ends_the_outer_transaction() {
    let report = explored(&[CUT, LOST], async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if !claim(&mut tx, "evt-1").await? {
            return Ok(());
        }
        sql(&mut tx, "BEGIN").await?;
        credit(&mut tx).await?;
        sql(&mut tx, "COMMIT").await?;
        book(&mut tx, "evt-1").await?;
        tx.commit().await
    });
    let report = report.await;
    if BEGIN_COMMITS {
        assert_found(
            &report,
            ViolationKind::PartialCommit,
            &[Some(CUT), Some(LOST)],
        );
    } else {
        assert_found(&report, ViolationKind::NeverSucceeds, &[None]);
    }
}

#[idempotent(key = "id", scope = "explorer.leaks", handler = Leaks)]
async fn leaks(tx: &mut Conn, id: &String) -> Result<(), sqlx::Error> {
    let mut nested = tx.begin().await?;
    book(&mut nested, id).await?;
    std::mem::forget(nested);
    Ok(())
}

#[tokio::test]
async fn a_leaked_nested_transaction_is_found_without_any_fault() {
    let template = template().await;
    let report = explore::<Leaks>(template.url(), &"evt-1".to_owned()).await;
    assert_found(&report, ViolationKind::NeverSucceeds, &[None]);
}

#[tokio::test]
async fn an_ack_before_commit_is_found_when_the_commit_is_lost() {
    let kind = if CUT == FaultKind::CutRequest {
        FaultKind::CutRequest
    } else {
        FaultKind::Interrupted
    };
    found(ViolationKind::Lost, &[kind], async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            credit(&mut tx).await?;
            tokio::spawn(tx.commit());
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_nobody_ends_is_found_when_the_call_is_cut_short() {
    let kind = if CUT == FaultKind::CutRequest {
        FaultKind::Dropped
    } else {
        FaultKind::DroppedMidStatement
    };
    found(
        ViolationKind::OpenTransaction,
        &[kind],
        async |pool: Pool| {
            let mut conn = pool.acquire().await?;
            sql(&mut conn, "BEGIN").await?;
            if claim(&mut conn, "evt-1").await? {
                credit(&mut conn).await?;
            }
            sql(&mut conn, "COMMIT").await
        },
    )
    .await;
}
