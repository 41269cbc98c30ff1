//! One process's life: a pool on a copy of the database, and what the handler keeps beside it.

use std::time::Duration;

use sqlx::Pool;
use sqlx::pool::PoolOptions;
use tokio::time::{Instant, sleep};

use super::points::Points;
use super::subject::Subject;
use crate::store::explorable::Explorable;

/// How long connections may take to come back to their pool.
const RETURNING: Duration = Duration::from_secs(2);

const LOOK_AGAIN: Duration = Duration::from_micros(200);

pub(crate) struct Life<S: Subject> {
    pub(crate) pool: Pool<S::Database>,
    pub(crate) process: S::Process,
}

impl<S: Subject> Life<S> {
    /// Connects, so that a handshake is no step of the call that follows.
    pub(crate) async fn start(
        subject: &S,
        options: <<S::Database as sqlx::Database>::Connection as sqlx::Connection>::Options,
        connections: u32,
        points: Option<&Points>,
    ) -> Result<Self, sqlx::Error> {
        let checkpoints = points.and_then(Points::checkpoints).cloned();
        let pool = PoolOptions::<S::Database>::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(10))
            // Its round trip would be a step that is none of the handler's.
            .test_before_acquire(false)
            .after_connect(move |conn, _| {
                let checkpoints = checkpoints.clone();
                Box::pin(async move {
                    match checkpoints {
                        Some(checkpoints) => S::Database::watch(conn, checkpoints).await,
                        None => Ok(()),
                    }
                })
            })
            .connect_with(options)
            .await?;
        let process = subject.start(&pool);
        let life = Self { pool, process };
        life.rest().await;
        Ok(life)
    }

    /// Connects until so many calls need not wait for a connection, as far as the pool goes: who has to connect first comes late.
    pub(crate) async fn connect(&self, calls: usize) -> Result<(), sqlx::Error> {
        let most = self.pool.options().get_max_connections() as usize;
        let mut held = Vec::new();
        for _ in 0..calls.min(most) {
            held.push(self.pool.acquire().await?);
        }
        drop(held);
        self.rest().await;
        Ok(())
    }

    /// Waits until the pool has back what it lent. `false`: a connection was kept.
    pub(crate) async fn rest(&self) -> bool {
        let deadline = Instant::now() + RETURNING;
        while self.pool.num_idle() < self.pool.size() as usize {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK_AGAIN).await;
        }
        true
    }

    /// Ends it. What a connection that was kept does is not waited for.
    pub(crate) async fn end(self) {
        let _ = tokio::time::timeout(RETURNING, self.pool.close()).await;
    }
}
