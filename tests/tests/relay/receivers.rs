//! Publishers whose receiver notes what it takes, and fails on demand.

use std::collections::HashSet;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use idem_runtime::{EventId, Message, PublishBatch, PublishError, Publisher};
use tokio::sync::{Semaphore, watch};

/// A relay without its guard may run for ever.
pub(crate) async fn within<T>(running: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), running)
        .await
        .expect("the relay does not end")
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) id: EventId,
    pub(crate) key: Option<String>,
    pub(crate) n: u32,
}

impl Taken {
    fn of(message: &Message) -> Self {
        Self {
            id: message.id,
            key: message.key.clone(),
            n: n_of(message),
        }
    }
}

/// The number in the payload.
pub(crate) fn n_of(message: &Message) -> u32 {
    let payload: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
    payload["n"].as_u64().unwrap().try_into().unwrap()
}

/// Everything that a receiver has taken, in order.
pub(crate) struct Log {
    taken: Mutex<Vec<Taken>>,
    changed: watch::Sender<()>,
}

impl Log {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::new(Vec::new()),
            changed: watch::Sender::new(()),
        })
    }

    pub(crate) fn take(&self, message: &Message) {
        self.taken.lock().unwrap().push(Taken::of(message));
        self.changed.send_replace(());
    }

    pub(crate) fn all(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// The first publication of each event: what a consumer acts on.
    pub(crate) fn first_of_each(&self) -> Vec<Taken> {
        let mut seen = HashSet::new();
        let mut taken = self.all();
        taken.retain(|taken| seen.insert(taken.id));
        taken
    }

    /// The numbers of one key, each at its first publication.
    pub(crate) fn of_key(&self, key: Option<&str>) -> Vec<u32> {
        let first = self.first_of_each().into_iter();
        first
            .filter(|taken| taken.key.as_deref() == key)
            .map(|taken| taken.n)
            .collect()
    }

    /// Waits until the log looks so.
    pub(crate) async fn until(&self, condition: impl Fn(&[Taken]) -> bool) {
        let mut changes = self.changed.subscribe();
        let reached = async {
            while !condition(&self.all()) {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached)
            .await
            .expect("the receiver never gets there");
    }
}

/// Takes in order what `decide` lets through.
pub(crate) struct To<F> {
    log: Arc<Log>,
    decide: F,
}

impl<F: Fn(&Message) -> Result<(), PublishError> + Send + Sync + 'static> To<F> {
    pub(crate) fn new(log: &Arc<Log>, decide: F) -> Self {
        Self {
            log: Arc::clone(log),
            decide,
        }
    }
}

impl To<fn(&Message) -> Result<(), PublishError>> {
    /// Everything.
    pub(crate) fn all(log: &Arc<Log>) -> Self {
        Self {
            log: Arc::clone(log),
            decide: |_| Ok(()),
        }
    }
}

impl<F> Publisher for To<F>
where
    F: Fn(&Message) -> Result<(), PublishError> + Send + Sync + 'static,
{
    async fn publish(&self, batch: PublishBatch) {
        let mut stopped = HashSet::new();
        for (index, message) in batch.messages().iter().enumerate() {
            // Other tasks run between two messages.
            tokio::task::yield_now().await;
            let key = message.key.as_deref();
            if key.is_some_and(|key| stopped.contains(key)) {
                continue;
            }
            let verdict = (self.decide)(message);
            match &verdict {
                Ok(()) => self.log.take(message),
                Err(error) if error.is_permanent() => {}
                Err(_) => stopped.extend(key),
            }
            batch.verdict(index, verdict);
        }
    }
}

/// Takes everything and never says so.
pub(crate) struct Silent(pub(crate) Arc<Log>);

impl Publisher for Silent {
    async fn publish(&self, batch: PublishBatch) {
        for message in batch.messages() {
            self.0.take(message);
        }
        pending::<()>().await;
    }
}

/// Takes everything, and gives this verdict on it when it is let.
pub(crate) struct Gated {
    pub(crate) log: Arc<Log>,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) verdict: Result<(), PublishError>,
}

impl Publisher for Gated {
    async fn publish(&self, batch: PublishBatch) {
        for message in batch.messages() {
            self.log.take(message);
        }
        self.gate.acquire().await.unwrap().forget();
        for index in 0..batch.messages().len() {
            batch.verdict(index, self.verdict.clone());
        }
    }
}

/// Takes everything, and forgets the verdict on the last message of the first batch.
pub(crate) struct Short {
    pub(crate) log: Arc<Log>,
    pub(crate) is_first: AtomicBool,
}

impl Publisher for Short {
    async fn publish(&self, batch: PublishBatch) {
        let mut last = batch.messages().len();
        if self.is_first.swap(false, Ordering::Relaxed) {
            last -= 1;
        }
        for (index, message) in batch.messages().iter().enumerate() {
            self.log.take(message);
            if index < last {
                batch.verdict(index, Ok(()));
            }
        }
    }
}

/// Takes everything, and notes how many messages came at once at most.
pub(crate) struct Measured {
    pub(crate) log: Arc<Log>,
    pub(crate) most: Arc<Mutex<usize>>,
}

impl Publisher for Measured {
    async fn publish(&self, batch: PublishBatch) {
        {
            let mut most = self.most.lock().unwrap();
            *most = (*most).max(batch.messages().len());
        }
        for (index, message) in batch.messages().iter().enumerate() {
            self.log.take(message);
            batch.verdict(index, Ok(()));
        }
    }
}
