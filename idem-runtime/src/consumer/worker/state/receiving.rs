//! The task that receives, and what is known of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::source::{Arrival, Delivery, Source, SourceError};

/// What `receive` answered.
pub(crate) type Received<D> = Option<Result<Arrival<D>, SourceError>>;

/// How long to wait at most before a source that failed is asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// A source that is stopped with its consumer, however that ends.
pub(crate) struct StopOnDrop<S: Source>(pub(crate) Arc<S>);

impl<S: Source> Drop for StopOnDrop<S> {
    fn drop(&mut self) {
        // What it has taken comes out then, paused or not.
        self.0.pause(false);
        self.0.stop();
    }
}

#[derive(Debug)]
pub(crate) struct Receiving {
    /// Asks for one answer each.
    asks: mpsc::Sender<()>,
    is_asked: bool,
    /// Whether the source was told to pause, and whether it reports revocations all the same.
    pub(crate) pause: Option<bool>,
    pub(crate) has_ended: bool,
    failures: u32,
    paused_until: Option<Instant>,
    /// Whether the broker's delivery limit was compared with this consumer's attempts.
    pub(crate) limit_is_checked: bool,
}

impl Receiving {
    const fn new(asks: mpsc::Sender<()>) -> Self {
        Self {
            asks,
            is_asked: false,
            pause: None,
            has_ended: false,
            failures: 0,
            paused_until: None,
            limit_is_checked: false,
        }
    }

    /// Ends a pause whose time is over, whether or not the source may be asked now: a time that has
    /// passed would wake the consumer again and again.
    pub(crate) fn wake(&mut self, now: Instant) {
        self.paused_until = self.paused_until.filter(|until| now < *until);
    }

    /// Asks for the next arrival, unless it is on its way.
    pub(crate) fn ask(&mut self) {
        if self.is_asked || self.has_ended || self.paused_until.is_some() {
            return;
        }
        self.is_asked = self.asks.try_send(()).is_ok();
    }

    pub(crate) const fn answered(&mut self) {
        self.is_asked = false;
    }

    pub(crate) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The source failed; when it is asked again.
    pub(crate) fn failed(&mut self, now: Instant) -> Duration {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST_PAUSE);
        self.failures += 1;
        self.paused_until = Some(now + pause);
        pause
    }

    pub(crate) const fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }
}

/// Starts to receive from a source.
pub(crate) fn start_receiving<S: Source>(
    source: Arc<S>,
) -> (Receiving, mpsc::Receiver<Received<S::Delivery>>) {
    let (asks, asked) = mpsc::channel(1);
    let (send, arrivals) = mpsc::channel(1);
    tokio::spawn(receive(source, asked, send));
    (Receiving::new(asks), arrivals)
}

/// Receives as often as it is asked to. No answer is dropped while it is pending: if the consumer is
/// gone, what arrives is given back until the source has ended.
async fn receive<S: Source>(
    source: Arc<S>,
    mut asks: mpsc::Receiver<()>,
    arrivals: mpsc::Sender<Received<S::Delivery>>,
) {
    while asks.recv().await.is_some() {
        let arrival = source.receive().await;
        let is_last = arrival.is_none();
        if let Err(unsent) = arrivals.send(arrival).await {
            if let Some(Ok(arrival)) = unsent.0 {
                give_back(arrival).await;
            }
            break;
        }
        if is_last {
            return;
        }
    }
    source.stop();
    while let Some(Ok(arrival)) = source.receive().await {
        give_back(arrival).await;
    }
}

async fn give_back<D: Delivery>(arrival: Arrival<D>) {
    if let Arrival::Delivery(delivery) = arrival {
        // Nobody is left who could be told; the broker gives it again by itself.
        let _ = delivery.give_back(Duration::ZERO).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: a time that has passed is no time to wake up at, whether or not the source is asked.
    #[test]
    fn a_pause_that_is_over_wakes_nobody() {
        let (asks, mut asked) = mpsc::channel(1);
        let mut receiving = Receiving::new(asks);
        let now = Instant::now();
        let pause = receiving.failed(now);
        receiving.wake(now);
        receiving.ask();
        assert_eq!(receiving.paused_until(), Some(now + pause));
        assert!(asked.try_recv().is_err());
        receiving.wake(now + pause);
        assert_eq!(receiving.paused_until(), None);
        receiving.ask();
        assert!(asked.try_recv().is_ok());
    }
}
