//! One way of handling many messages, by several tasks at once or by a consumer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::arm::Payment;

/// How many transactions run at once.
pub(super) const CONNECTIONS: u32 = 8;

/// What the others are compared with.
pub(super) const HAND: &str = "hand-written, one message a transaction";
pub(super) const BARE: &str = "bare set-based effect of 100";
pub(super) const SET: &str = "batch handler of 100";
pub(super) const EACH: &str = "ordinary handler, 32 in a batch";

/// How long an arm runs before the next one has its turn.
const SLICE: Duration = Duration::from_millis(700);

type Ended<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// One way of handling many messages.
pub(super) struct Arm {
    pub(super) name: &'static str,
    how: How,
}

enum How {
    /// So many messages in a call, from all tasks at once.
    Called(usize, Arc<dyn Fn(Vec<Payment>) -> Ended<()> + Send + Sync>),
    /// Says its own rate.
    Consumed(Arc<dyn Fn() -> Ended<f64> + Send + Sync>),
}

impl Arm {
    pub(super) fn called<F>(
        name: &'static str,
        messages: usize,
        call: impl Fn(Vec<Payment>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let call = Arc::new(move |payments| Box::pin(call(payments)) as Ended<()>);
        Self {
            name,
            how: How::Called(messages, call),
        }
    }

    pub(super) fn consumed<F>(
        name: &'static str,
        slice: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<f64>> + Send + 'static,
    {
        let slice = Arc::new(move || Box::pin(slice()) as Ended<f64>);
        Self {
            name,
            how: How::Consumed(slice),
        }
    }

    /// Messages a second.
    pub(super) async fn rate(&self, connections: u32) -> Result<f64> {
        let (messages, call) = match &self.how {
            How::Called(messages, call) => (*messages, call),
            How::Consumed(slice) => return tokio::spawn(slice()).await?,
        };
        let start = Instant::now();
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            let call = call.clone();
            workers.spawn(async move {
                let mut handled = 0_u32;
                while start.elapsed() < SLICE {
                    let mut payments: Vec<_> = (0..messages).map(|_| Payment::new()).collect();
                    // As a consumer does: rows that two batches lock are locked in one order.
                    payments.sort_by_key(|payment| payment.account);
                    call(payments).await?;
                    handled += u32::try_from(messages)?;
                }
                anyhow::Ok(handled)
            });
        }
        let mut handled = 0;
        while let Some(worker) = workers.join_next().await {
            handled += worker??;
        }
        Ok(f64::from(handled) / start.elapsed().as_secs_f64())
    }
}
