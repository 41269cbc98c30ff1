//! The same work on each database: what differs is `effect`, the set-based `effects`, and the
//! hand-written code that takes one message.

/// Sums for each account, in the order of the accounts.
pub(super) fn sums(payments: &[&crate::arm::Payment]) -> (Vec<i64>, Vec<i64>) {
    let mut sums = std::collections::BTreeMap::new();
    for payment in payments {
        *sums.entry(payment.account).or_insert(0) += payment.amount;
    }
    sums.into_iter().unzip()
}

macro_rules! work {
    ($database:ty, $connection:ty, $theirs:path) => {
        use idem_runtime::{BatchOutbox, Handler, Outbox, Received, idempotent, outbox};

        use crate::arm::{Payment, Posted, Receipt};
        use crate::batches::arm::{Arm, BARE, CONNECTIONS, EACH, HAND, SET};
        use $theirs as theirs;

        type Connection = $connection;

        #[idempotent(key = "payment.id", batch = "payment in payments")]
        #[outbox]
        async fn apply_all(
            tx: &mut Connection,
            outbox: &mut BatchOutbox<Posted>,
            payments: &[&Payment],
        ) -> Result<Vec<Receipt>, sqlx::Error> {
            effects(tx, payments).await?;
            for (place, payment) in payments.iter().enumerate() {
                outbox.of(place).emit(&Posted::from(*payment));
            }
            Ok(payments
                .iter()
                .map(|payment| Receipt::from(*payment))
                .collect())
        }

        #[idempotent(key = "payment.id", handler = Apply)]
        #[outbox]
        pub(super) async fn apply(
            tx: &mut Connection,
            outbox: &mut Outbox<Posted>,
            payment: &Payment,
        ) -> Result<Receipt, sqlx::Error> {
            theirs::effect(tx, payment).await?;
            outbox.emit(&Posted::from(payment));
            Ok(Receipt::from(payment))
        }

        /// The arms, each with a pool of its own.
        pub(super) async fn arms(url: &str) -> anyhow::Result<Vec<Arm>> {
            theirs::set_up_ours(url).await?;
            let pools: [_; 6] = {
                let mut pools = Vec::new();
                for _ in 0..6 {
                    pools.push(theirs::connect_many(url, CONNECTIONS).await?);
                }
                pools.try_into().expect("six were made")
            };
            let [hand, bare, one, each, all, more] = pools;
            let of_many = |name, messages, pool: sqlx::Pool<$database>| {
                Arm::called(name, messages, move |payments| {
                    let pool = pool.clone();
                    async move {
                        let borrowed: Vec<_> = payments.iter().collect();
                        for entry in apply_all(&pool, &borrowed).await? {
                            crate::arm::executed(&entry?)?;
                        }
                        Ok(())
                    }
                })
            };
            Ok(vec![
                Arm::called(HAND, 1, move |payments| {
                    let pool = hand.clone();
                    async move {
                        for payment in payments {
                            theirs::by_hand(&pool, payment).await?;
                        }
                        Ok(())
                    }
                }),
                Arm::called(BARE, 100, move |payments| {
                    let pool = bare.clone();
                    async move {
                        let mut tx = pool.begin().await?;
                        let borrowed: Vec<_> = payments.iter().collect();
                        effects(&mut tx, &borrowed).await?;
                        Ok(tx.commit().await?)
                    }
                }),
                Arm::called("ours, one message a transaction", 1, move |payments| {
                    let pool = one.clone();
                    async move {
                        for payment in payments {
                            crate::arm::executed(&apply(&pool, &payment).await?)?;
                        }
                        Ok(())
                    }
                }),
                Arm::called(EACH, 32, move |payments| {
                    let pool = each.clone();
                    async move {
                        let received = payments.into_iter();
                        let received: Vec<_> = received
                            .map(|payment| Received::new(payment.id.to_string(), payment))
                            .collect();
                        let received: Vec<_> = received.iter().collect();
                        for entry in Apply::call_batch(&pool, &received, &()).await? {
                            crate::arm::executed(&entry?)?;
                        }
                        Ok(())
                    }
                }),
                of_many(SET, 100, all),
                of_many("batch handler of 500", 500, more),
            ])
        }
    };
}

pub(super) use work;
