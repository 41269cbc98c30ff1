//! A sound handler leaves the same database however often it is delivered, and a lost claim or
//! event is named.
//!
//! Its result, its event and a line of text hold a number that the database made up, and no foreign
//! key says so.

use idem_runtime::Event;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug)]
pub(crate) struct Order {
    id: String,
    /// Written and taken back before it succeeds: a delivery that failed.
    fails: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Receipt {
    order: i64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(topic = "orders.placed", key = "account")]
pub(crate) struct Placed {
    account: i32,
    order: i64,
}

pub(crate) fn order() -> Order {
    Order {
        id: "delivery 1".into(),
        fails: false,
    }
}

impl Order {
    fn failing() -> Self {
        Self {
            fails: true,
            ..order()
        }
    }
}

macro_rules! suite {
    ($module:ident, $scope:literal, $database:ty, $connection:ty) => {
        mod $module {
            use idem_runtime::{Outbox, idempotent, outbox};
            use idem_testing::__internals::{
                CloneDatabase as _, Difference, Mask, Snapshot, compare,
            };
            use sqlx::{AssertSqlSafe, Pool};

            use super::{Order, Placed, Receipt, order};
            use crate::suite::snapshot_of_copy;
            use crate::$module::database;

            type Template = <$database as idem_testing::__internals::CloneDatabase>::Template;

            #[idempotent(key = "order.id", scope = $scope, retention = "30d")]
            #[outbox]
            async fn place(
                tx: &mut $connection,
                outbox: &mut Outbox<Placed>,
                order: &Order,
            ) -> Result<Receipt, sqlx::Error> {
                sqlx::query("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
                    .execute(&mut *tx)
                    .await?;
                let id: i64 = sqlx::query_scalar(
                    "INSERT INTO orders (account, note) VALUES (1, 'x') RETURNING id",
                )
                .fetch_one(&mut *tx)
                .await?;
                sqlx::query(AssertSqlSafe(format!(
                    "INSERT INTO log (text) VALUES ('order {id} came in')"
                )))
                .execute(&mut *tx)
                .await?;
                outbox.emit(&Placed {
                    account: 1,
                    order: id,
                });
                if order.fails {
                    return Err(sqlx::Error::RowNotFound);
                }
                Ok(Receipt { order: id })
            }

            /// What deliveries leave on a copy.
            async fn left_by(
                template: &Template,
                advanced: bool,
                deliveries: impl AsyncFnOnce(&Pool<$database>),
            ) -> Snapshot {
                let copy = <$database>::copy(template).await.unwrap();
                if advanced {
                    <$database>::advance_sequences(template, &copy)
                        .await
                        .unwrap();
                }
                let options = <$database>::connect_options(template, &copy, None);
                let pool = Pool::connect_with(options).await.unwrap();
                deliveries(&pool).await;
                pool.close().await;
                let open = <$database>::open_transactions(template, &copy)
                    .await
                    .unwrap();
                assert_eq!(open, [] as [&str; 0]);
                let snapshot = <$database>::snapshot(template, &copy).await.unwrap();
                <$database>::discard(template, copy).await.unwrap();
                snapshot
            }

            async fn clean_and_mask(template: &Template) -> (Snapshot, Mask) {
                let base = snapshot_of_copy::<$database>(template).await;
                let mut clean = Vec::new();
                for advanced in [false, false, true] {
                    let run = left_by(template, advanced, async |pool| {
                        let _ = place(pool, &order()).await.unwrap();
                    });
                    clean.push(run.await);
                }
                let mask = Mask::calibrate(&clean, &base).unwrap();
                (clean.swap_remove(0), mask)
            }

            #[tokio::test]
            async fn a_sound_handler_leaves_the_same_however_it_is_delivered() {
                let database = database().await;
                let template = <$database>::open_template(database.url()).await.unwrap();
                let (clean, mask) = clean_and_mask(&template).await;
                let lines = mask.lines();
                for line in [
                    "idem_keys.created_at (time)",
                    "idem_keys.expires_at (time)",
                    "idem_keys.result after `order` (refers to orders.id, compared 1:1)",
                    "idem_outbox.payload after `order` (refers to orders.id, compared 1:1)",
                    "idem_outbox.seq (identity, compared 1:1)",
                    "log.text after `order ` (refers to orders.id, compared 1:1)",
                ] {
                    assert!(lines.iter().any(|one| one == line), "{line}: {lines:#?}");
                }
                for exact in [
                    "accounts.balance",
                    "idem_outbox.id",
                    "idem_keys.key",
                    "idem_keys.scope",
                ] {
                    assert!(
                        !lines.iter().any(|one| one.starts_with(exact)),
                        "{exact}: {lines:#?}"
                    );
                }
                let thrice = left_by(&template, false, async |pool| {
                    for _ in 0..3 {
                        let _ = place(pool, &order()).await.unwrap();
                    }
                });
                assert_eq!(compare(&clean, &thrice.await, &mask), []);
                // Numbers that a rolled back delivery took are gone.
                let after_failures = left_by(&template, false, async |pool| {
                    for _ in 0..3 {
                        let _ = place(pool, &Order::failing()).await.unwrap_err();
                    }
                    let _ = place(pool, &order()).await.unwrap();
                });
                assert_eq!(compare(&clean, &after_failures.await, &mask), []);
                let at_once = left_by(&template, true, async |pool| {
                    let order = order();
                    let (one, two, three) = tokio::join!(
                        place(pool, &order),
                        place(pool, &order),
                        place(pool, &order)
                    );
                    for outcome in [one, two, three] {
                        let _ = outcome.unwrap();
                    }
                });
                assert_eq!(compare(&clean, &at_once.await, &mask), []);
                <$database>::close_template(template).await.unwrap();
            }

            #[tokio::test]
            async fn a_lost_claim_and_a_lost_event_are_named() {
                let database = database().await;
                let template = <$database>::open_template(database.url()).await.unwrap();
                let (clean, mask) = clean_and_mask(&template).await;
                let lost = left_by(&template, false, async |pool| {
                    let _ = place(pool, &order()).await.unwrap();
                    for table in ["idem_keys", "idem_outbox"] {
                        let delete = AssertSqlSafe(format!("DELETE FROM {table}"));
                        sqlx::query(delete).execute(pool).await.unwrap();
                    }
                });
                let found = compare(&clean, &lost.await, &mask);
                let found: Vec<_> = found.iter().map(Difference::to_string).collect();
                assert_eq!(found.len(), 2, "{found:#?}");
                assert!(found[0].starts_with("table idem_keys: 0 rows, and should hold 1\n  - "));
                assert!(found[0].ends_with("(the claim is missing)"), "{}", found[0]);
                assert!(found[1].contains("topic 'orders.placed'"), "{}", found[1]);
                assert!(found[1].ends_with("(the event is missing)"), "{}", found[1]);
                <$database>::close_template(template).await.unwrap();
            }

            /// A number in a text that names another row is a lost effect.
            #[tokio::test]
            async fn a_number_in_a_text_that_names_no_row_is_a_difference() {
                let database = database().await;
                let template = <$database>::open_template(database.url()).await.unwrap();
                let (clean, mask) = clean_and_mask(&template).await;
                let wrong = left_by(&template, false, async |pool| {
                    let _ = place(pool, &order()).await.unwrap();
                    let update = "UPDATE log SET text = 'order 99 came in'";
                    sqlx::query(update).execute(pool).await.unwrap();
                });
                let found = compare(&clean, &wrong.await, &mask);
                let found: Vec<_> = found.iter().map(Difference::to_string).collect();
                assert_eq!(found.len(), 1, "{found:#?}");
                assert!(
                    found[0].contains("text is 'order 99 came in', should be 'order 8 came in'"),
                    "{}",
                    found[0]
                );
                <$database>::close_template(template).await.unwrap();
            }
        }
    };
}

suite!(
    postgres,
    "clone_database.postgres",
    sqlx::Postgres,
    sqlx::PgConnection
);
suite!(
    mariadb,
    "clone_database.mariadb",
    sqlx::MySql,
    sqlx::MySqlConnection
);
suite!(
    sqlite,
    "clone_database.sqlite",
    sqlx::Sqlite,
    sqlx::SqliteConnection
);
