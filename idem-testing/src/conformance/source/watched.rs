//! A source whose deliveries the suite counts, and whose settlements it can hold back.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use idem_runtime::__testing::Clock;
use idem_runtime::{Arrival, Delivery, Incoming, Partition, SettleError, Source, SourceError};
use tokio::sync::Notify;

/// What an instance was handed out, and how it settled it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    received: Mutex<Vec<String>>,
    bytes: AtomicUsize,
    most_bytes: AtomicUsize,
    holds_acks: AtomicBool,
    ack_begun: Notify,
}

impl Watch {
    /// How often the broker handed out the message with this ID.
    pub(super) fn received(&self, id: &str) -> usize {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().filter(|received| *received == id).count()
    }

    /// The bytes in the consumer's memory at the worst time.
    pub(super) fn most_bytes(&self) -> usize {
        self.most_bytes.load(Ordering::SeqCst)
    }

    /// From now on no ack goes to the broker, as if the process died at that moment.
    pub(super) fn hold_acks(&self) {
        self.holds_acks.store(true, Ordering::SeqCst);
    }

    /// Waits until an ack was held back.
    pub(super) async fn ack_begun(&self) {
        self.ack_begun.notified().await;
    }
}

/// A source that is watched.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) source: S,
    pub(super) watch: Arc<Watch>,
}

impl<S: Source> Source for Watched<S> {
    type Delivery = WatchedDelivery<S::Delivery>;

    async fn receive(&self) -> Option<Result<Arrival<Self::Delivery>, SourceError>> {
        let arrival = match self.source.receive().await? {
            Ok(arrival) => arrival,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(match arrival {
            Arrival::Delivery(delivery) => {
                let (id, size) = {
                    let incoming = delivery.incoming();
                    (incoming.id.clone(), incoming.body.len())
                };
                let watch = Arc::clone(&self.watch);
                let mut received = watch
                    .received
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                received.push(id);
                drop(received);
                let bytes = watch.bytes.fetch_add(size, Ordering::SeqCst) + size;
                watch.most_bytes.fetch_max(bytes, Ordering::SeqCst);
                let in_memory = InMemory { watch, size };
                Arrival::Delivery(WatchedDelivery {
                    delivery,
                    in_memory,
                })
            }
            Arrival::Revoked(partitions, handover) => Arrival::Revoked(partitions, handover),
            _ => unreachable!("an arrival that this suite does not know"),
        }))
    }

    fn stop(&self) {
        self.source.stop();
    }

    fn pause(&self, paused: bool) -> bool {
        self.source.pause(paused)
    }

    fn system(&self) -> &'static str {
        self.source.system()
    }

    fn longest_hold(&self) -> Option<Duration> {
        self.source.longest_hold()
    }

    fn delivery_limit(&self) -> Option<u32> {
        self.source.delivery_limit()
    }

    fn keeps_order(&self) -> bool {
        self.source.keeps_order()
    }

    fn clock(&self) -> Clock {
        self.source.clock()
    }
}

/// Counts for as long as the delivery is there.
#[derive(Debug)]
struct InMemory {
    watch: Arc<Watch>,
    size: usize,
}

impl Drop for InMemory {
    fn drop(&mut self) {
        self.watch.bytes.fetch_sub(self.size, Ordering::SeqCst);
    }
}

#[derive(Debug)]
pub(super) struct WatchedDelivery<D> {
    delivery: D,
    in_memory: InMemory,
}

impl<D: Delivery> Delivery for WatchedDelivery<D> {
    fn incoming(&self) -> &Incoming {
        self.delivery.incoming()
    }

    fn partition(&self) -> Partition {
        self.delivery.partition()
    }

    fn time_left(&self) -> Option<Duration> {
        self.delivery.time_left()
    }

    async fn ack(self) -> Result<(), SettleError> {
        let watch = &self.in_memory.watch;
        if watch.holds_acks.load(Ordering::SeqCst) {
            watch.ack_begun.notify_one();
            pending::<()>().await;
        }
        self.delivery.ack().await
    }

    async fn give_back(self, after: Duration) -> Result<(), SettleError> {
        self.delivery.give_back(after).await
    }

    async fn reject(self, reason: &str) -> Result<(), SettleError> {
        self.delivery.reject(reason).await
    }

    async fn extend(&self) -> Result<Option<Duration>, SettleError> {
        self.delivery.extend().await
    }
}
