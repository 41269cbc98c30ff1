//! One way of doing the work, by several connections at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::arm::{Done, Payment};

/// How long an arm runs before the next one has its turn.
const SLICE: Duration = Duration::from_millis(500);

/// One way of doing the work, by many at once.
pub(crate) struct Saturated {
    pub(crate) name: &'static str,
    run: Arc<dyn Fn(Payment) -> Done + Send + Sync>,
}

impl Saturated {
    pub(crate) fn new<F>(
        name: &'static str,
        run: impl Fn(Payment) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self {
            name,
            run: Arc::new(move |payment| Box::pin(run(payment))),
        }
    }

    /// Calls a second, all connections busy.
    pub(crate) async fn rate(&self, connections: u32) -> Result<f64> {
        let start = Instant::now();
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            let run = self.run.clone();
            workers.spawn(async move {
                let mut calls = 0_u32;
                while start.elapsed() < SLICE {
                    run(Payment::new()).await?;
                    calls += 1;
                }
                anyhow::Ok(calls)
            });
        }
        let mut calls = 0;
        while let Some(worker) = workers.join_next().await {
            calls += worker??;
        }
        Ok(f64::from(calls) / start.elapsed().as_secs_f64())
    }
}
