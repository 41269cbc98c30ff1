//! Large objects of PostgreSQL, which are in no table of the user.

use idem_testing::{FaultKind, ViolationKind};
use sqlx::PgPool;

use crate::postgres::suite::template::{
    assert_found, claim, credit, explored, explored_soundly, found, sql,
};

const STORE: &str = "SELECT lo_from_bytea(0, 'receipt')";

/// Guards: large objects are compared as tables are.
#[tokio::test]
async fn a_large_object_before_the_claim_is_found_when_delivered_again() {
    let kinds = [FaultKind::Sequential, FaultKind::CutRequest];
    let report = explored(&kinds, async |pool: PgPool| {
        sql(&mut *pool.acquire().await?, STORE).await?;
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            credit(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(())
    });
    let report = report.await;
    assert_found(
        &report,
        ViolationKind::DuplicateEffect,
        &[Some(FaultKind::Sequential)],
    );
    assert_found(
        &report,
        ViolationKind::PartialCommit,
        &[Some(FaultKind::CutRequest)],
    );
    let text = report.to_string();
    assert!(text.contains("large objects: 1, and should be 0"), "{text}");
}

/// Guards: the same. The object has another number in each run, and another content after each
/// delivery.
#[tokio::test]
async fn a_large_object_that_is_written_again_is_found() {
    found(
        ViolationKind::DuplicateEffect,
        &[FaultKind::Sequential, FaultKind::CutReply],
        async |pool: PgPool| {
            let append = "SELECT lo_put(token::oid, length(lo_get(token::oid)), '+') FROM orders";
            let mut tx = pool.begin().await?;
            if claim(&mut tx, "evt-1").await? {
                let store =
                    "INSERT INTO orders (customer, token) VALUES ('evt-1', lo_from_bytea(0, '1'))";
                sql(&mut tx, store).await?;
                sql(&mut tx, append).await?;
                return tx.commit().await;
            }
            tx.rollback().await?;
            sql(&mut *pool.acquire().await?, append).await
        },
    )
    .await;
}

#[tokio::test]
async fn a_large_object_in_the_transaction_of_the_claim_is_sound() {
    explored_soundly("", async |pool: PgPool| {
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            let store =
                "INSERT INTO orders (customer, token) VALUES ('evt-1', lo_from_bytea(0, '1'))";
            sql(&mut tx, store).await?;
            tx.commit().await?;
        }
        Ok(())
    })
    .await;
}
