//! One relay publishes at a time: the one that holds the lease.

use std::time::Duration;

use sqlx::Pool;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

use super::connection::GuardedConnection;
use crate::store::{Lease, OutboxStore, Settlement};
use crate::telemetry::Redacted;

/// The lease as one run of a relay sees it. Dropped while held, it is freed in the background, so
/// that a successor need not wait for its end.
#[derive(Debug)]
pub(super) struct HeldLease<DB: OutboxStore> {
    pool: Pool<DB>,
    lease: Lease,
    /// Not held past this time, by a clock of our own that was read before the database's.
    until: Option<Instant>,
    /// Whether the row may be ours, with or without our knowing.
    asked: bool,
}

impl<DB: OutboxStore> HeldLease<DB> {
    pub(super) fn new(pool: Pool<DB>, length: Duration) -> Self {
        Self {
            pool,
            lease: Lease {
                owner: Uuid::now_v7(),
                length,
            },
            until: None,
            asked: false,
        }
    }

    pub(super) const fn lease(&self) -> Lease {
        self.lease
    }

    /// Takes the lease, or renews it if a third of it is over. `false`: another relay has it. Not
    /// while a batch is in hand: another relay may have had the lease in between.
    pub(super) async fn ensure(&mut self) -> Result<bool, sqlx::Error> {
        if self.renewal().is_some_and(|due| Instant::now() < due) {
            return Ok(true);
        }
        let asked = Instant::now();
        let mut conn = GuardedConnection::acquire(&self.pool).await?;
        self.asked = true;
        let held = DB::hold(conn.connection(), self.lease).await;
        let held = conn.done(held)?;
        self.note(asked, held);
        Ok(held)
    }

    /// Renews the lease if nobody had it since.
    async fn renew(&mut self) -> Result<bool, sqlx::Error> {
        let asked = Instant::now();
        let mut conn = GuardedConnection::acquire(&self.pool).await?;
        let held = DB::settle(conn.connection(), self.lease, &Settlement::default()).await;
        let held = conn.done(held)?;
        self.note(asked, held);
        Ok(held)
    }

    /// Takes note of an answer of the database to what was asked at that time.
    pub(super) fn note(&mut self, asked: Instant, held: bool) {
        match (held, self.until) {
            (true, None) => tracing::info!(owner = %self.lease.owner, "this relay publishes"),
            (false, Some(_)) => {
                tracing::warn!(owner = %self.lease.owner, "another relay took over");
            }
            _ => {}
        }
        self.until = held.then(|| asked + self.lease.length);
        self.asked = held;
    }

    /// Until when it is held if nothing renews it.
    pub(super) fn until(&self) -> Instant {
        self.until.unwrap_or_else(Instant::now)
    }

    fn renewal(&self) -> Option<Instant> {
        Some(self.until? - self.lease.length.mul_f32(2.0 / 3.0))
    }

    /// Keeps the lease while something slow runs. Ends when it is lost.
    pub(super) async fn keep(&mut self) {
        while let Some(due) = self.renewal() {
            sleep_until(due).await;
            let deadline = self.until();
            let step = self.lease.length / 10;
            loop {
                match timeout_at(deadline, self.renew()).await {
                    Ok(Ok(_)) => break,
                    Ok(Err(error)) => {
                        tracing::warn!(error = %Redacted(&error), "the lease was not renewed");
                    }
                    Err(_) => {
                        self.until = None;
                        break;
                    }
                }
                sleep_until((Instant::now() + step).min(deadline)).await;
            }
        }
    }

    /// Frees the lease, if it is held. Best effort: it ends by itself.
    pub(super) async fn release(&mut self) {
        if self.asked && release(&self.pool, self.lease.owner).await.is_ok() {
            self.until = None;
            self.asked = false;
        }
    }
}

async fn release<DB: OutboxStore>(pool: &Pool<DB>, owner: Uuid) -> Result<(), sqlx::Error> {
    let mut conn = GuardedConnection::acquire(pool).await?;
    let released = DB::release(conn.connection(), owner).await;
    conn.done(released)
}

impl<DB: OutboxStore> Drop for HeldLease<DB> {
    fn drop(&mut self) {
        if let (true, Ok(runtime)) = (self.asked, Handle::try_current()) {
            let (pool, owner) = (self.pool.clone(), self.lease.owner);
            runtime.spawn(async move { release(&pool, owner).await });
        }
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use sqlx::SqlitePool;

    use super::*;

    #[tokio::test]
    async fn a_lease_is_renewed_when_a_third_of_it_is_over() {
        let pool = SqlitePool::connect_lazy("sqlite::memory:").unwrap();
        let mut lease = HeldLease::new(pool, Duration::from_secs(9));
        let asked = Instant::now();
        assert_eq!((lease.until, lease.renewal()), (None, None));
        lease.note(asked, true);
        assert_eq!(lease.until(), asked + Duration::from_secs(9));
        let due = lease.renewal().unwrap() - asked;
        assert!((2_999..=3_001).contains(&due.as_millis()), "{due:?}");
        lease.note(asked, false);
        assert_eq!((lease.until, lease.renewal()), (None, None));
    }
}
