//! The same work on each database: written by hand, with the care that it needs, and by annotated
//! handlers.

/// What differs between databases is SQL. The statements are in the constants `BEGIN`, `EFFECT`,
/// `CLAIM`, `STORE`, `REPLAY` and `PUBLISH` of the module that calls this, its tables in `TABLES`.
macro_rules! work {
    ($database:ty, $connection:ty) => {
        type Connection = $connection;
        type Pool = sqlx::Pool<$database>;

        pub(crate) async fn effect(tx: &mut Connection, payment: &Payment) -> sqlx::Result<()> {
            sqlx::query(EFFECT)
                .bind(payment.amount)
                .bind(payment.account)
                .execute(tx)
                .await
                .map(drop)
        }

        mod hand {
            use anyhow::{Result, ensure};
            use sqlx::types::Json;
            use uuid::Uuid;

            use super::{BEGIN, CLAIM, Connection, PUBLISH, Pool, REPLAY, STORE, effect};
            use crate::arm::{Payment, Posted, Receipt};

            pub(super) async fn bare(pool: Pool, payment: Payment) -> Result<()> {
                let mut tx = pool.begin_with(BEGIN).await?;
                effect(&mut tx, &payment).await?;
                tx.commit().await?;
                Ok(())
            }

            /// With result and event; a duplicate gets the stored result.
            pub(super) async fn apply(pool: Pool, payment: Payment) -> Result<(Receipt, bool)> {
                let mut tx = pool.begin_with(BEGIN).await?;
                if !claim(&mut tx, "apply", payment.id).await? {
                    let Json(receipt) = sqlx::query_scalar(REPLAY)
                        .bind("apply")
                        .bind(payment.id)
                        .fetch_one(&mut *tx)
                        .await?;
                    tx.rollback().await?;
                    return Ok((receipt, false));
                }
                effect(&mut tx, &payment).await?;
                let receipt = Receipt::from(&payment);
                let stored = sqlx::query(STORE)
                    .bind(Json(&receipt))
                    .bind("apply")
                    .bind(payment.id)
                    .execute(&mut *tx)
                    .await?;
                ensure!(stored.rows_affected() == 1, "the claim is gone");
                publish(&mut tx, &payment).await?;
                tx.commit().await?;
                Ok((receipt, true))
            }

            /// Without result and event.
            pub(super) async fn skip(pool: Pool, payment: Payment) -> Result<bool> {
                let mut tx = pool.begin_with(BEGIN).await?;
                if !claim(&mut tx, "skip", payment.id).await? {
                    tx.rollback().await?;
                    return Ok(false);
                }
                effect(&mut tx, &payment).await?;
                tx.commit().await?;
                Ok(true)
            }

            /// With an event and without a key.
            pub(super) async fn event_only(pool: Pool, payment: Payment) -> Result<()> {
                let mut tx = pool.begin_with(BEGIN).await?;
                effect(&mut tx, &payment).await?;
                publish(&mut tx, &payment).await?;
                tx.commit().await?;
                Ok(())
            }

            async fn claim(tx: &mut Connection, handler: &str, key: Uuid) -> sqlx::Result<bool> {
                let claimed = sqlx::query(CLAIM).bind(handler).bind(key).execute(tx).await;
                match claimed {
                    Ok(claimed) => Ok(claimed.rows_affected() == 1),
                    // MariaDB has no `ON CONFLICT DO NOTHING` that tells the two apart.
                    Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
                    Err(error) => Err(error),
                }
            }

            async fn publish(tx: &mut Connection, payment: &Payment) -> sqlx::Result<()> {
                sqlx::query(PUBLISH)
                    .bind(Uuid::now_v7())
                    .bind("ledger.posted")
                    .bind(payment.account.to_string())
                    .bind(Json(Posted::from(payment)))
                    .execute(tx)
                    .await
                    .map(drop)
            }
        }

        mod ours {
            use idem_runtime::{Outbox, idempotent, outbox};

            use super::{Connection, effect};
            use crate::arm::{Payment, Posted, Receipt};

            /// With result and event.
            #[idempotent(key = "payment.id")]
            #[outbox]
            pub(super) async fn apply(
                tx: &mut Connection,
                outbox: &mut Outbox<Posted>,
                payment: &Payment,
            ) -> Result<Receipt, sqlx::Error> {
                effect(tx, payment).await?;
                outbox.emit(&Posted::from(payment));
                Ok(Receipt::from(payment))
            }

            /// The same under another scope, so that its history of duplicates is its own.
            #[idempotent(key = "payment.id")]
            #[outbox]
            pub(super) async fn redelivered(
                tx: &mut Connection,
                outbox: &mut Outbox<Posted>,
                payment: &Payment,
            ) -> Result<Receipt, sqlx::Error> {
                effect(tx, payment).await?;
                outbox.emit(&Posted::from(payment));
                Ok(Receipt::from(payment))
            }

            /// The same for duplicates that come one at a time.
            #[idempotent(key = "payment.id")]
            #[outbox]
            pub(super) async fn mixed(
                tx: &mut Connection,
                outbox: &mut Outbox<Posted>,
                payment: &Payment,
            ) -> Result<Receipt, sqlx::Error> {
                effect(tx, payment).await?;
                outbox.emit(&Posted::from(payment));
                Ok(Receipt::from(payment))
            }

            /// Without result and event.
            #[idempotent(key = "payment.id", on_duplicate = "skip")]
            pub(super) async fn skip(
                tx: &mut Connection,
                payment: &Payment,
            ) -> Result<(), sqlx::Error> {
                effect(tx, payment).await
            }

            /// With an event and without a key.
            #[outbox]
            pub(super) async fn publish(
                tx: &mut Connection,
                outbox: &mut Outbox<Posted>,
                payment: &Payment,
            ) -> Result<(), sqlx::Error> {
                effect(tx, payment).await?;
                outbox.emit(&Posted::from(payment));
                Ok(())
            }
        }

        /// Makes the tables that hand-written code and this crate work on, in an empty database.
        pub(crate) async fn set_up_ours(url: &str) -> anyhow::Result<()> {
            set_up_work(url).await
        }

        /// The work by hand, with result and event.
        pub(crate) async fn by_hand(pool: &Pool, payment: Payment) -> anyhow::Result<()> {
            arm::expect_executed(hand::apply(pool.clone(), payment).await?.1)
        }

        /// Makes the tables in an empty database.
        async fn set_up_work(url: &str) -> anyhow::Result<()> {
            let pool = connect(url).await?;
            sqlx::raw_sql(ACCOUNTS).execute(&pool).await?;
            sqlx::raw_sql(TABLES).execute(&pool).await?;
            idem_runtime::migrate(&pool).await?;
            Ok(())
        }

        /// The arms. Each has a pool of its own: what a pool does when it takes a connection back
        /// falls on that arm.
        async fn work(url: &str) -> anyhow::Result<Vec<Arm>> {
            let mut arms = Vec::new();

            let pool = connect(url).await?;
            arms.push(Arm::new(name::BARE, move |payment| {
                hand::bare(pool.clone(), payment)
            }));

            let (theirs, mine) = (connect(url).await?, connect(url).await?);
            arms.push(Arm::new(name::HAND, move |payment| {
                let pool = theirs.clone();
                async move { arm::expect_executed(hand::apply(pool, payment).await?.1) }
            }));
            arms.push(Arm::new(name::OURS, move |payment| {
                let pool = mine.clone();
                async move { arm::executed(&ours::apply(&pool, &payment).await?) }
            }));

            let (theirs, mine) = (connect(url).await?, connect(url).await?);
            arms.push(Arm::new(name::HAND_SKIP, move |payment| {
                let pool = theirs.clone();
                async move { arm::expect_executed(hand::skip(pool, payment).await?) }
            }));
            arms.push(Arm::new(name::OURS_SKIP, move |payment| {
                let pool = mine.clone();
                async move { arm::executed(&ours::skip(&pool, &payment).await?) }
            }));

            arms.extend(duplicates(url).await?);
            arms.extend(lone_duplicates(url).await?);

            let (theirs, mine) = (connect(url).await?, connect(url).await?);
            arms.push(Arm::new(name::HAND_OUTBOX, move |payment| {
                hand::event_only(theirs.clone(), payment)
            }));
            arms.push(Arm::new(name::OURS_OUTBOX, move |payment| {
                let pool = mine.clone();
                async move { Ok(ours::publish(&pool, &payment).await?) }
            }));
            Ok(arms)
        }

        /// Deliveries again and again, as a broker that lost its acknowledgements sends a batch
        /// again.
        async fn duplicates(url: &str) -> anyhow::Result<[Arm; 2]> {
            let (theirs, mine) = (connect(url).await?, connect(url).await?);
            let seen: Vec<Payment> = (0..64).map(|_| Payment::new()).collect();
            for payment in &seen {
                hand::apply(theirs.clone(), payment.clone()).await?;
                arm::executed(&ours::redelivered(&mine, payment).await?)?;
            }
            let mut cycle = seen.clone().into_iter().cycle();
            let hand = Arm::new(name::HAND_DUPLICATE, move |_| {
                let (pool, payment) = (theirs.clone(), cycle.next().expect("it has no end"));
                async move {
                    let answer = hand::apply(pool, payment.clone()).await?;
                    arm::expect_replayed(answer, &payment)
                }
            });
            let mut cycle = seen.into_iter().cycle();
            let ours = Arm::new(name::OURS_DUPLICATE, move |_| {
                let (pool, payment) = (mine.clone(), cycle.next().expect("it has no end"));
                async move { arm::replayed(&ours::redelivered(&pool, &payment).await?, &payment) }
            });
            Ok([hand, ours])
        }

        /// One delivery in four is a duplicate.
        async fn lone_duplicates(url: &str) -> anyhow::Result<[Arm; 2]> {
            let (theirs, mine) = (connect(url).await?, connect(url).await?);
            let (their_setup, my_setup) = (theirs.clone(), mine.clone());
            let hand = Arm::new(name::HAND_LONE, move |payment| {
                let pool = theirs.clone();
                async move {
                    let answer = hand::apply(pool, payment.clone()).await?;
                    arm::expect_replayed(answer, &payment)
                }
            })
            .after(move |payment| {
                let pool = their_setup.clone();
                async move {
                    for payment in [payment, Payment::new(), Payment::new()] {
                        hand::apply(pool.clone(), payment).await?;
                    }
                    Ok(())
                }
            });
            let ours = Arm::new(name::OURS_LONE, move |payment| {
                let pool = mine.clone();
                async move { arm::replayed(&ours::mixed(&pool, &payment).await?, &payment) }
            })
            .after(move |payment| {
                let pool = my_setup.clone();
                async move {
                    for payment in [payment, Payment::new(), Payment::new()] {
                        arm::executed(&ours::mixed(&pool, &payment).await?)?;
                    }
                    Ok(())
                }
            });
            Ok([hand, ours])
        }
    };
}

pub(crate) use work;
