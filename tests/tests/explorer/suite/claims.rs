//! Handlers whose claim, effect or events are not one transaction. Each test is named after the
//! mistake.

use idem_testing::{FaultKind, ViolationKind};

use super::template::{assert_found, book, claim, credit, explored, sql};
use super::{CUT, FAILED, LOST, Pool, VIEW};

#[tokio::test]
async fn no_claim_is_found_when_delivered_again() {
    let report = explored(async |pool: Pool| {
        let mut tx = pool.begin().await?;
        credit(&mut tx).await?;
        book(&mut tx, "evt-1").await?;
        tx.commit().await
    });
    assert_found(
        &report.await,
        ViolationKind::DuplicateEffect,
        &[
            Some(FaultKind::Sequential),
            Some(FaultKind::Concurrent),
            Some(LOST),
        ],
    );
}

#[tokio::test]
async fn a_claim_in_its_own_transaction_is_found_when_the_process_dies_behind_it() {
    let report = explored(async |pool: Pool| {
        if !claim(&mut *pool.acquire().await?, "evt-1").await? {
            return Ok(());
        }
        let mut tx = pool.begin().await?;
        credit(&mut tx).await?;
        tx.commit().await
    });
    assert_found(
        &report.await,
        ViolationKind::PartialCommit,
        &[
            Some(CUT),
            Some(LOST),
            Some(FAILED),
            Some(FaultKind::Dropped),
        ],
    );
}

#[tokio::test]
async fn an_effect_through_the_pool_is_found_when_the_transaction_fails() {
    let report = explored(async |pool: Pool| {
        book(&mut *pool.acquire().await?, "evt-1").await?;
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            credit(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(())
    });
    assert_found(
        &report.await,
        ViolationKind::PartialCommit,
        &[Some(CUT), Some(LOST), Some(FaultKind::Dropped)],
    );
}

#[tokio::test]
async fn check_then_act_is_found_when_delivered_at_once() {
    let report = explored(async |pool: Pool| {
        let handled: i64 = sqlx::query_scalar("SELECT count(*) FROM payments WHERE id = 'evt-1'")
            .fetch_one(&pool)
            .await?;
        if handled > 0 {
            return Ok(());
        }
        let mut tx = pool.begin().await?;
        credit(&mut tx).await?;
        book(&mut tx, "evt-1").await?;
        tx.commit().await
    });
    assert_found(
        &report.await,
        ViolationKind::DuplicateEffect,
        &[Some(FaultKind::Concurrent)],
    );
}

#[tokio::test]
async fn an_outbox_outside_of_the_transaction_is_found_when_the_process_dies_before_it() {
    let report = explored(async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if !claim(&mut tx, "evt-1").await? {
            return Ok(());
        }
        credit(&mut tx).await?;
        tx.commit().await?;
        sql(
            &mut *pool.acquire().await?,
            "INSERT INTO outbox VALUES ('evt-1', 'credited')",
        )
        .await
    });
    assert_found(
        &report.await,
        ViolationKind::PartialCommit,
        &[Some(CUT), Some(FaultKind::Dropped)],
    );
}

#[tokio::test]
async fn a_result_that_is_stored_after_commit_is_found_when_the_process_dies_in_between() {
    let report = explored(async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if !claim(&mut tx, "evt-1").await? {
            return Ok(());
        }
        credit(&mut tx).await?;
        tx.commit().await?;
        sql(
            &mut *pool.acquire().await?,
            "UPDATE seen SET result = 'done' WHERE id = 'evt-1'",
        )
        .await
    });
    assert_found(
        &report.await,
        ViolationKind::PartialCommit,
        &[Some(CUT), Some(FaultKind::Dropped)],
    );
}

/// Guards: what is in a database besides its tables is compared, too.
#[tokio::test]
async fn a_view_outside_of_the_transaction_is_found_when_the_process_dies_after_it() {
    let report = explored(async |pool: Pool| {
        sql(&mut *pool.acquire().await?, VIEW).await?;
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            credit(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(())
    });
    assert_found(&report.await, ViolationKind::PartialCommit, &[Some(CUT)]);
}
