//! Handlers whose claim, effect or events are not one transaction. Each test is named after the
//! mistake.

use idem_testing::{FaultKind, ViolationKind};

use super::template::{book, claim, credit, found, sql};
use super::{CUT, FAILED, LOST, Pool, VIEW};

#[tokio::test]
async fn no_claim_is_found_when_delivered_again() {
    found(
        ViolationKind::DuplicateEffect,
        &[FaultKind::Sequential, FaultKind::Concurrent, LOST],
        async |pool: Pool| {
            let mut tx = pool.begin().await?;
            credit(&mut tx).await?;
            book(&mut tx, "evt-1").await?;
            tx.commit().await
        },
    )
    .await;
}

#[tokio::test]
async fn a_claim_in_its_own_transaction_is_found_when_the_process_dies_behind_it() {
    found(
        ViolationKind::PartialCommit,
        &[CUT, LOST, FAILED, FaultKind::Dropped],
        async |pool: Pool| {
            if !claim(&mut *pool.acquire().await?, "evt-1").await? {
                return Ok(());
            }
            let mut tx = pool.begin().await?;
            credit(&mut tx).await?;
            tx.commit().await
        },
    )
    .await;
}

#[tokio::test]
async fn an_effect_through_the_pool_is_found_when_the_transaction_fails() {
    found(
        ViolationKind::PartialCommit,
        &[CUT, LOST, FaultKind::Dropped],
        async |pool: Pool| {
            book(&mut *pool.acquire().await?, "evt-1").await?;
            let mut tx = pool.begin().await?;
            if claim(&mut tx, "evt-1").await? {
                credit(&mut tx).await?;
                tx.commit().await?;
            }
            Ok(())
        },
    )
    .await;
}

#[tokio::test]
async fn check_then_act_is_found_when_delivered_at_once() {
    found(
        ViolationKind::DuplicateEffect,
        &[FaultKind::Concurrent],
        async |pool: Pool| {
            let handled: i64 =
                sqlx::query_scalar("SELECT count(*) FROM payments WHERE id = 'evt-1'")
                    .fetch_one(&pool)
                    .await?;
            if handled > 0 {
                return Ok(());
            }
            let mut tx = pool.begin().await?;
            credit(&mut tx).await?;
            book(&mut tx, "evt-1").await?;
            tx.commit().await
        },
    )
    .await;
}

#[tokio::test]
async fn an_outbox_outside_of_the_transaction_is_found_when_the_process_dies_before_it() {
    found(
        ViolationKind::PartialCommit,
        &[CUT, FaultKind::Dropped],
        async |pool: Pool| {
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
        },
    )
    .await;
}

#[tokio::test]
async fn a_result_that_is_stored_after_commit_is_found_when_the_process_dies_in_between() {
    found(
        ViolationKind::PartialCommit,
        &[CUT, FaultKind::Dropped],
        async |pool: Pool| {
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
        },
    )
    .await;
}

/// Guards: what is in a database besides its tables is compared, too.
#[tokio::test]
async fn a_view_outside_of_the_transaction_is_found_when_the_process_dies_after_it() {
    found(ViolationKind::PartialCommit, &[CUT], async |pool: Pool| {
        sql(&mut *pool.acquire().await?, VIEW).await?;
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            credit(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(())
    })
    .await;
}
