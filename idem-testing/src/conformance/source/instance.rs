//! One instance of a consumer: what a process is in production.

use std::sync::Arc;
use std::time::Duration;

use idem_runtime::{Backoff, Consumer, ConsumerError, ConsumerStats};
use sqlx::pool::PoolOptions;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::database::{ConnectOptions, SourceDatabase};
use super::script::Script;
use super::target::SourceTarget;
use super::watched::{Watch, Watched};
use crate::conformance::failure::{Result, violated};

/// How an instance is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) concurrency: usize,
    pub(super) retry: Backoff,
    pub(super) hold: Duration,
    pub(super) in_hand: usize,
    pub(super) shutdown_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 4,
            retry: backoff(20).attempts(4),
            hold: Duration::from_secs(30),
            in_hand: 1_000,
            shutdown_timeout: Duration::from_secs(20),
        }
    }
}

/// Waits of up to so many milliseconds.
pub(super) const fn backoff(millis: u64) -> Backoff {
    let wait = Duration::from_millis(millis);
    Backoff::exponential(wait, wait)
}

/// A consumer on a runtime of its own, with a pool and a source of its own.
#[derive(Debug)]
pub(super) struct Instance {
    runtime: Option<Runtime>,
    shutdown: Option<oneshot::Sender<()>>,
    running: JoinHandle<std::result::Result<ConsumerStats, String>>,
    pub(super) watch: Arc<Watch>,
}

impl Instance {
    pub(super) fn start<T: SourceTarget, DB: SourceDatabase>(
        target: Arc<T>,
        queue: String,
        options: ConnectOptions<DB>,
        script: Script,
        settings: Settings,
    ) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return violated(format!("no runtime for an instance: {error}")),
        };
        let watch = Arc::<Watch>::default();
        let (shutdown, is_over) = oneshot::channel();
        let watched = Arc::clone(&watch);
        let running = runtime.spawn(async move {
            // Two are for attempts and leases.
            let connections = u32::try_from(settings.concurrency + 2).unwrap_or(u32::MAX);
            let pool = PoolOptions::<DB>::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(2))
                .connect_with(options)
                .await
                .map_err(|error| format!("the consumer can't reach its database: {error}"))?;
            let source = Watched {
                source: target.source(&queue).await,
                watch: watched,
            };
            let over = async {
                if is_over.await.is_err() {
                    // The instance is killed.
                    std::future::pending::<()>().await;
                }
            };
            Consumer::new(queue, source)
                .on_with::<DB::Apply>(script)
                .concurrency(settings.concurrency)
                .retry(settings.retry)
                .hold(settings.hold)
                .in_hand(settings.in_hand, usize::MAX)
                .shutdown_timeout(settings.shutdown_timeout)
                .run(&pool, over)
                .await
                .map_err(|error: ConsumerError| format!("the consumer ended: {error}"))
        });
        Ok(Self {
            runtime: Some(runtime),
            shutdown: Some(shutdown),
            running,
            watch,
        })
    }

    /// Ends it in order, within this time.
    pub(super) async fn stop(mut self, limit: Duration) -> Result<ConsumerStats> {
        if let Some(shutdown) = self.shutdown.take() {
            // Nobody hears it if the consumer has ended by itself: then its error says why.
            let _ = shutdown.send(());
        }
        match timeout(limit, &mut self.running).await {
            Ok(Ok(Ok(stats))) => Ok(stats),
            Ok(Ok(Err(error))) => violated(error),
            Ok(Err(panic)) => violated(format!("the consumer panicked: {panic}")),
            Err(_) => violated(format!("the consumer does not end within {limit:?}")),
        }
    }

    /// Ends it as a crash does: nothing more is run, settled or closed in order.
    pub(super) fn kill(self) {
        drop(self);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
