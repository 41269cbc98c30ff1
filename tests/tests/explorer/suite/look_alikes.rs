//! Sound handlers that look like the broken ones of `duplicates.rs`: no run finds a violation.

use idem_runtime::{Outcome, idempotent};
use idem_testing::FaultKind;
use sqlx::Row as _;
use uuid::Uuid;

use super::template::{claim, credit, explored, explored_soundly, sql};
use super::{AUDIT, CUT, Conn, EXTEND, FAILED, LOST, Pool, SUBSCRIPTIONS};

#[tokio::test]
async fn a_time_that_is_extended_with_a_claim() {
    explored_soundly(SUBSCRIPTIONS, async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            sql(&mut tx, EXTEND).await?;
            tx.commit().await?;
        }
        Ok(())
    })
    .await;
}

/// The second update finds the token that the first one wrote: no claim is needed.
#[tokio::test]
async fn a_random_token_that_is_written_once() {
    explored_soundly(SUBSCRIPTIONS, async |pool: Pool| {
        let token = Uuid::now_v7();
        let update = format!(
            "UPDATE subscriptions SET token = '{token}' WHERE id = 'evt-1' AND token IS NULL"
        );
        sql(&mut *pool.acquire().await?, update).await
    })
    .await;
}

#[tokio::test]
async fn a_random_token_that_is_stored_and_returned() {
    explored_soundly(SUBSCRIPTIONS, async |pool: Pool| {
        let token = Uuid::now_v7();
        let update = format!(
            "UPDATE subscriptions SET token = '{token}' WHERE id = 'evt-1' AND token IS NULL"
        );
        sql(&mut *pool.acquire().await?, update).await?;
        let row = sqlx::query("SELECT token FROM subscriptions WHERE id = 'evt-1'")
            .fetch_one(&pool)
            .await?;
        row.try_get::<String, _>(0)
    })
    .await;
}

#[tokio::test]
async fn a_row_that_is_deleted_and_inserted_with_a_claim() {
    explored_soundly("", async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            sql(&mut tx, "DELETE FROM orders WHERE customer = 'evt-1'").await?;
            sql(&mut tx, "INSERT INTO orders (customer) VALUES ('evt-1')").await?;
            tx.commit().await?;
        }
        Ok(())
    })
    .await;
}

#[idempotent(key = "id", scope = "explorer.extends_once")]
async fn extends_once(tx: &mut Conn, id: &str) -> Result<Uuid, sqlx::Error> {
    let token = Uuid::now_v7();
    sql(tx, EXTEND).await?;
    let update = format!("UPDATE subscriptions SET token = '{token}' WHERE id = '{id}'");
    sql(tx, update).await?;
    Ok(token)
}

/// Whether it was executed or replayed, the value is the same.
#[tokio::test]
async fn a_consumer_that_only_reads_a_replay() {
    explored_soundly(SUBSCRIPTIONS, async |pool: Pool| {
        match extends_once(&pool, "evt-1").await {
            Ok(Outcome::Executed(token) | Outcome::Replayed(token)) => Ok(token),
            Err(error) => Err(sqlx::Error::Protocol(error.to_string())),
        }
    })
    .await;
}

#[tokio::test]
async fn an_outcome_that_is_returned_as_it_is() {
    explored_soundly(SUBSCRIPTIONS, async |pool: Pool| {
        extends_once(&pool, "evt-1")
            .await
            .map_err(|error| sqlx::Error::Protocol(error.to_string()))
    })
    .await;
}

#[tokio::test]
async fn a_trigger_that_writes_with_a_claim() {
    explored_soundly(AUDIT, async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            sql(&mut tx, "UPDATE accounts SET balance = 105 WHERE id = 1").await?;
            tx.commit().await?;
        }
        Ok(())
    })
    .await;
}

/// The message says what the balance is, not by how much it changes.
#[tokio::test]
async fn a_value_that_is_set_to_the_same_again() {
    explored_soundly("", async |pool: Pool| {
        let update = "UPDATE accounts SET balance = 105 WHERE id = 1";
        sql(&mut *pool.acquire().await?, update).await
    })
    .await;
}

/// The last error is the result, so the message comes again.
#[tokio::test]
async fn three_attempts_and_then_the_error() {
    // A connection that dies comes again, too, each time the handler tries again.
    let kinds = [
        CUT,
        LOST,
        FAILED,
        FaultKind::Sequential,
        FaultKind::Concurrent,
    ];
    let report = explored(&kinds, async |pool: Pool| {
        let attempt = async || {
            let mut tx = pool.begin().await?;
            if claim(&mut tx, "evt-1").await? {
                credit(&mut tx).await?;
                tx.commit().await?;
            }
            Ok(())
        };
        let mut result = attempt().await;
        for _ in 0..2 {
            if result.is_err() {
                result = attempt().await;
            }
        }
        result
    });
    report.await.assert_holds();
}

#[tokio::test]
async fn a_result_that_is_stored_by_hand() {
    explored_soundly("", async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            credit(&mut tx).await?;
            let result = format!("receipt {}", Uuid::now_v7());
            let store = format!("UPDATE seen SET result = '{result}' WHERE id = 'evt-1'");
            sql(&mut tx, store).await?;
            tx.commit().await?;
            return Ok(result);
        }
        tx.rollback().await?;
        let row = sqlx::query("SELECT result FROM seen WHERE id = 'evt-1'")
            .fetch_one(&pool)
            .await?;
        row.try_get::<String, _>(0)
    })
    .await;
}

/// Guards: results are compared without regard to the order of a set.
#[tokio::test]
async fn a_list_in_any_order_is_the_same_result() {
    explored_soundly("", async |pool: Pool| {
        let mut tx = pool.begin().await?;
        if claim(&mut tx, "evt-1").await? {
            credit(&mut tx).await?;
            tx.commit().await?;
        }
        // Its order is random.
        Ok(std::collections::HashSet::from([1, 2, 3, 4, 5, 6, 7, 8]))
    })
    .await;
}
