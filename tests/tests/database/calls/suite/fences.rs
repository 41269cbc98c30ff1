//! How a call knows that its end belongs to its beginning. (The faults that cut a call short are in
//! the suite of the laws.)

use idem_runtime::{Outcome, idempotent};
use sqlx::{AssertSqlSafe, raw_sql};

use super::handlers::{apply, begin, effect};
use super::{Conn, claims, start};
use crate::model::{Order, Refusal, end};

/// Runs a statement that a handler must not run.
#[idempotent(key = "id", scope = "contract.meddle")]
async fn meddle(tx: &mut Conn, id: &str, sql: &str) -> Result<(), Refusal> {
    effect(tx, id).await?;
    raw_sql(AssertSqlSafe(sql.to_owned())).execute(tx).await?;
    Ok(())
}

#[tokio::test]
async fn a_claim_that_is_gone_at_the_end_takes_the_effect_along() {
    let db = start().await;
    let sql = "DELETE FROM idem_keys";
    assert_eq!(
        end(meddle(&db.pool, "o", sql).await),
        Err("RolledBack".into())
    );
    let mut tx = begin(&db.pool).await;
    effect(&mut tx, "caller").await.unwrap();
    assert_eq!(
        end(meddle(&mut tx, "o", sql).await),
        Err("RolledBack".into())
    );
    tx.commit().await.unwrap();
    assert_eq!(db.effects().await, ["caller"]);
    assert_eq!(claims(&db).await, []);
}

/// The caller hears of it twice: from the call, and if it does not listen, from its COMMIT. The
/// connection serves on.
#[tokio::test]
async fn a_handler_that_ends_the_callers_transaction_surfaces_in_its_commit() {
    let db = start().await;
    for (sql, commits, stays) in [
        ("COMMIT", true, true),
        ("COMMIT", false, true),
        ("ROLLBACK", true, false),
        ("ROLLBACK", false, false),
    ] {
        let mut tx = begin(&db.pool).await;
        effect(&mut tx, "caller").await.unwrap();
        assert_eq!(
            end(meddle(&mut tx, "o", sql).await),
            Err("RolledBack".into())
        );
        if commits {
            tx.commit().await.unwrap_err();
        } else {
            drop(tx);
        }
        let expected = if stays { vec!["caller", "o"] } else { vec![] };
        assert_eq!(db.effects().await, expected, "{sql}");
        if stays {
            assert_eq!(
                end(meddle(&db.pool, "o", "SELECT 1").await),
                Err("Unfinished".into())
            );
        }
        for table in ["effects", "idem_keys"] {
            db.execute(&format!("DELETE FROM {table}")).await;
        }

        // On every connection of the pool, in a transaction of the call's own and in one of the
        // caller's.
        let mut held = Vec::new();
        for number in 0..4 {
            let order = Order::new(&format!("{number}"));
            let mut conn = db.pool.acquire().await.unwrap();
            assert_eq!(
                end(apply(&mut conn, &order).await),
                Ok(Outcome::Executed(order.receipt()))
            );
            let mut tx = sqlx::Connection::begin(&mut *conn).await.unwrap();
            effect(&mut tx, "undone").await.unwrap();
            tx.rollback().await.unwrap();
            held.push(conn);
        }
        drop(held);
        assert_eq!(db.effects().await, ["0", "1", "2", "3"]);
        for table in ["effects", "idem_keys"] {
            db.execute(&format!("DELETE FROM {table}")).await;
        }
    }
}
