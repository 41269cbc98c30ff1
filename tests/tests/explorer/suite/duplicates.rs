//! Handlers without any deduplication whose effect hides in values that differ from run to run.
//! Each test is named after the mistake.

use idem_runtime::{Outcome, idempotent};
use idem_testing::{Explorer, Fault, FaultKind, ViolationKind};
use uuid::Uuid;

use super::template::{assert_found, claim, credit, explored, found, found_on, sql, template};
use super::{
    AUDIT, BEGIN_COMMITS, CUT, Conn, DDL_COMMITS, EXTEND, FAILED, LOST, Pool, SUBSCRIPTIONS,
};

/// Guards: `SingleRun::check`, which compares the states of one copy with each other, unmasked.
#[tokio::test]
async fn a_time_that_is_extended_again_is_found() {
    found_on(
        SUBSCRIPTIONS,
        ViolationKind::DuplicateEffect,
        &[FaultKind::Sequential, LOST],
        async |pool: Pool| sql(&mut *pool.acquire().await?, EXTEND).await,
    )
    .await;
}

/// Guards: the same.
#[tokio::test]
async fn a_random_token_that_is_written_again_is_found() {
    found_on(
        SUBSCRIPTIONS,
        ViolationKind::DuplicateEffect,
        &[FaultKind::Sequential, LOST],
        async |pool: Pool| {
            let token = Uuid::now_v7();
            let update = format!("UPDATE subscriptions SET token = '{token}' WHERE id = 'evt-1'");
            sql(&mut *pool.acquire().await?, update).await
        },
    )
    .await;
}

/// Guards: the same. The row gets another number each time.
#[tokio::test]
async fn a_row_that_is_deleted_and_inserted_again_is_found() {
    found(
        ViolationKind::DuplicateEffect,
        &[FaultKind::Sequential, LOST],
        async |pool: Pool| {
            let mut tx = pool.begin().await?;
            sql(&mut tx, "DELETE FROM orders WHERE customer = 'evt-1'").await?;
            sql(&mut tx, "INSERT INTO orders (customer) VALUES ('evt-1')").await?;
            tx.commit().await
        },
    )
    .await;
}

#[idempotent(key = "id", scope = "explorer.extends")]
async fn extends(tx: &mut Conn, id: &str) -> Result<(), sqlx::Error> {
    sql(tx, EXTEND).await?;
    sql(tx, format!("INSERT INTO seen (id) VALUES ('{id}')")).await
}

/// Guards: the same.
#[tokio::test]
async fn a_consumer_that_acts_on_a_replay_too_is_found() {
    found_on(
        SUBSCRIPTIONS,
        ViolationKind::DuplicateEffect,
        &[FaultKind::Sequential, LOST],
        async |pool: Pool| match extends(&pool, "evt-1").await {
            Ok(Outcome::Executed(())) => Ok(()),
            Ok(Outcome::Replayed(())) => sql(&mut *pool.acquire().await?, EXTEND).await,
            Err(error) => Err(sqlx::Error::Protocol(error.to_string())),
        },
    )
    .await;
}

/// Guards: the same. The second row of the trigger takes the place of the first.
#[tokio::test]
async fn a_trigger_that_writes_again_is_found() {
    found_on(
        AUDIT,
        ViolationKind::DuplicateEffect,
        &[FaultKind::Sequential, LOST],
        async |pool: Pool| {
            let rename = "UPDATE accounts SET balance = 105 WHERE id = 1";
            sql(&mut *pool.acquire().await?, rename).await
        },
    )
    .await;
}

/// Guards: the comparison of times with the clock of their run, also where they differ from run to
/// run.
#[tokio::test]
async fn a_time_that_concurrent_deliveries_extend_is_found() {
    found_on(
        SUBSCRIPTIONS,
        ViolationKind::DuplicateEffect,
        &[FaultKind::Concurrent],
        async |pool: Pool| {
            let handled: i64 = sqlx::query_scalar("SELECT count(*) FROM seen WHERE id = 'evt-1'")
                .fetch_one(&pool)
                .await?;
            if handled > 0 {
                return Ok(());
            }
            let mut tx = pool.begin().await?;
            sql(&mut tx, EXTEND).await?;
            sql(&mut tx, "DELETE FROM seen WHERE id = 'evt-1'").await?;
            sql(&mut tx, "INSERT INTO seen (id) VALUES ('evt-1')").await?;
            tx.commit().await
        },
    )
    .await;
}

async fn try_to_credit(pool: &Pool) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    if claim(&mut tx, "evt-1").await? {
        credit(&mut tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Guards: the fault that comes again whenever the handler tries the same statement again.
#[tokio::test]
async fn a_handler_that_gives_up_in_silence_after_three_attempts_is_found() {
    let kinds = [CUT, FAILED];
    let report = explored(&kinds, async |pool: Pool| {
        for _ in 0..3 {
            if try_to_credit(&pool).await.is_ok() {
                break;
            }
        }
        Ok(())
    });
    let report = report.await;
    let cut = (CUT == FaultKind::CutRequest).then_some(Some(CUT));
    let faults: Vec<_> = cut.into_iter().chain([Some(FAILED)]).collect();
    assert_found(&report, ViolationKind::Lost, &faults);
    let repeated = report.violations().iter().find_map(|violation| {
        let text = violation.to_string();
        text.contains("each time").then_some(text)
    });
    assert!(repeated.is_some(), "{report}");
}

/// Guards: the same, for a statement that is tried again in one transaction. PostgreSQL runs no
/// statement after one that failed, so the handler fails there.
#[tokio::test]
async fn a_statement_that_is_given_up_in_silence_is_found_where_it_fails_alone() {
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
        for _ in 0..3 {
            if credit(&mut tx).await.is_ok() {
                break;
            }
        }
        sql(&mut tx, "INSERT INTO outbox VALUES ('evt-1/0', 'credited')").await?;
        tx.commit().await
    });
    let report = report.await;
    if DDL_COMMITS || !BEGIN_COMMITS {
        println!("{report}");
        let mut violations = report.violations().iter();
        let kinds = |fault: Fault| fault.kind() == FAILED;
        assert!(
            violations.any(|violation| violation.fault().is_some_and(kinds)),
            "{report}"
        );
    } else {
        report.assert_holds();
    }
}

/// Guards: the comparison of what a duplicate returns with what the first delivery returned.
#[tokio::test]
async fn a_duplicate_that_returns_something_else_is_found() {
    found(
        ViolationKind::ResultDiffers,
        &[FaultKind::Sequential, FaultKind::Concurrent, LOST],
        async |pool: Pool| {
            let mut tx = pool.begin().await?;
            if !claim(&mut tx, "evt-1").await? {
                return Ok(0);
            }
            credit(&mut tx).await?;
            tx.commit().await?;
            Ok(105)
        },
    )
    .await;
}

/// Guards: the same, for results that differ from run to run.
#[tokio::test]
async fn a_token_that_is_returned_and_not_stored_is_found() {
    found(
        ViolationKind::ResultDiffers,
        &[FaultKind::Sequential, FaultKind::Concurrent],
        async |pool: Pool| {
            let token = Uuid::now_v7();
            let mut tx = pool.begin().await?;
            if claim(&mut tx, "evt-1").await? {
                credit(&mut tx).await?;
                tx.commit().await?;
            }
            Ok(token)
        },
    )
    .await;
}
