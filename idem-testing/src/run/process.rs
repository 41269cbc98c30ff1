//! A process that receives deliveries: a pool on a copy of the database, and what the handler keeps
//! in memory.

use std::time::Duration;

use sqlx::Pool;
use sqlx::pool::PoolOptions;
use tokio::time::{Instant, sleep};

use super::injector::Injector;
use super::target::Target;
use crate::explorable::Explorable;

/// How long connections may take to come back to their pool.
const RETURN_TIMEOUT: Duration = Duration::from_secs(2);

const POLL_INTERVAL: Duration = Duration::from_micros(200);

pub(crate) struct Process<T: Target> {
    pub(crate) pool: Pool<T::Database>,
    pub(crate) context: T::Context,
}

impl<T: Target> Process<T> {
    /// Connects at once, so that the handshake is not a step of the call that follows.
    pub(crate) async fn start(
        target: &T,
        options: <<T::Database as sqlx::Database>::Connection as sqlx::Connection>::Options,
        connections: u32,
        injector: Option<&Injector>,
    ) -> Result<Self, sqlx::Error> {
        let checkpoints = injector.and_then(Injector::checkpoints).cloned();
        let pool = PoolOptions::<T::Database>::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(10))
            // Its round trip would count as a step of the handler.
            .test_before_acquire(false)
            .after_connect(move |conn, _| {
                let checkpoints = checkpoints.clone();
                Box::pin(async move {
                    match checkpoints {
                        Some(checkpoints) => T::Database::watch(conn, checkpoints).await,
                        None => Ok(()),
                    }
                })
            })
            .connect_with(options)
            .await?;
        let context = target.start(&pool);
        let process = Self { pool, context };
        process.wait_idle().await;
        Ok(process)
    }

    /// Opens a connection for each concurrent call, up to the size of the pool: a call that must
    /// connect first would come late.
    pub(crate) async fn connect(&self, calls: usize) -> Result<(), sqlx::Error> {
        let most = self.pool.options().get_max_connections() as usize;
        let mut held = Vec::new();
        for _ in 0..calls.min(most) {
            held.push(self.pool.acquire().await?);
        }
        drop(held);
        self.wait_idle().await;
        Ok(())
    }

    /// Waits until all connections are back in the pool. `false`: a connection was kept.
    pub(crate) async fn wait_idle(&self) -> bool {
        let deadline = Instant::now() + RETURN_TIMEOUT;
        while self.pool.num_idle() < self.pool.size() as usize {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(POLL_INTERVAL).await;
        }
        true
    }

    /// Ends it, without waiting long for a connection that was kept.
    pub(crate) async fn end(self) {
        let _ = tokio::time::timeout(RETURN_TIMEOUT, self.pool.close()).await;
    }
}
