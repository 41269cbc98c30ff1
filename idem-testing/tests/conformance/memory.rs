//! A receiver in memory, and publishers that break the law in one way each.

use std::collections::HashSet;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use idem_runtime::{EventId, Message, PublishBatch, PublishError, Publisher, in_order};
use idem_testing::conformance::{BrokerFault, Oddity, PublishTarget, Unsupported};

/// How a publisher breaks the law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    DropsHeaders,
    CutsPayloads,
    ForgetsAVerdict,
    PanicsOnNothing,
    RefusesDuplicates,
    IgnoresKeys,
    OneCallAtATime,
    ConfirmsFirst,
    BreaksWhenDropped,
    ConfirmsWhenDown,
    GivesUp,
    NeverReconnects,
    ShowsPayloads,
    WaitsForAll,
    ConfirmsSilence,
    GoesOn,
    StopsAll,
    SmallBatches,
}

/// What takes messages.
#[derive(Default)]
struct Receiver {
    fault: Mutex<Option<BrokerFault>>,
    taken: Mutex<Vec<Message>>,
    known: Mutex<HashSet<EventId>>,
}

pub(crate) struct Memory {
    flaw: Flaw,
    receiver: Arc<Receiver>,
}

impl Memory {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self {
            flaw,
            receiver: Arc::default(),
        }
    }
}

impl PublishTarget for Memory {
    type Publisher = Sender;

    async fn publisher(&self) -> Sender {
        Sender {
            flaw: self.flaw,
            receiver: self.receiver.clone(),
            busy: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            buffer: Mutex::default(),
        }
    }

    async fn received(&self) -> Vec<Message> {
        std::mem::take(&mut self.receiver.taken.lock().unwrap())
    }

    async fn inject(&self, fault: BrokerFault) -> Result<(), Unsupported> {
        *self.receiver.fault.lock().unwrap() = Some(fault);
        Ok(())
    }

    async fn restore(&self) {
        *self.receiver.fault.lock().unwrap() = None;
    }

    /// What has a flaw is waited for in vain.
    fn time_limit(&self) -> Duration {
        match self.flaw {
            Flaw::None => Duration::from_mins(2),
            _ => Duration::from_secs(2),
        }
    }
}

pub(crate) struct Sender {
    flaw: Flaw,
    receiver: Arc<Receiver>,
    /// A call runs, or was dropped.
    busy: AtomicBool,
    /// The connection broke once.
    broken: AtomicBool,
    buffer: Mutex<Vec<Message>>,
}

impl Sender {
    async fn send(&self, message: &Message) -> Result<(), PublishError> {
        // As over a network: others get their turn.
        tokio::task::yield_now().await;
        if self.flaw == Flaw::ConfirmsFirst {
            // In a buffer, which is sent some time.
            let mut buffer = self.buffer.lock().unwrap();
            buffer.push(message.clone());
            if buffer.len() >= 7 {
                self.receiver.taken.lock().unwrap().append(&mut buffer);
            }
            return Ok(());
        }
        if self.flaw == Flaw::NeverReconnects && self.broken.load(Ordering::Relaxed) {
            return Err(PublishError::unavailable("no connection"));
        }
        let fault = *self.receiver.fault.lock().unwrap();
        match fault {
            Some(BrokerFault::Down) => {
                self.broken.store(true, Ordering::Relaxed);
                return match self.flaw {
                    Flaw::ConfirmsWhenDown => Ok(()),
                    Flaw::GivesUp => Err(PublishError::permanent("no connection")),
                    Flaw::ShowsPayloads => Err(PublishError::unavailable(format!(
                        "can't send {}",
                        String::from_utf8_lossy(&message.payload)
                    ))),
                    _ => Err(PublishError::unavailable("no connection")),
                };
            }
            Some(BrokerFault::Hang(id)) if id == message.id => {
                if self.flaw == Flaw::ConfirmsSilence {
                    return Ok(());
                }
                pending::<()>().await;
            }
            Some(BrokerFault::Refuse(id)) if id == message.id => {
                return Err(match self.flaw {
                    Flaw::StopsAll => PublishError::unavailable("refused"),
                    _ => PublishError::retryable("refused"),
                });
            }
            _ => {}
        }
        let is_new = self.receiver.known.lock().unwrap().insert(message.id);
        if self.flaw == Flaw::RefusesDuplicates && !is_new {
            return Err(PublishError::permanent("known already"));
        }
        let mut message = message.clone();
        match self.flaw {
            Flaw::DropsHeaders => message.headers.clear(),
            Flaw::CutsPayloads => message.payload.truncate(65_536),
            _ => {}
        }
        self.receiver.taken.lock().unwrap().push(message);
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Without a thought of keys, the last one first.
    async fn send_backwards(&self, batch: PublishBatch) {
        for index in (0..batch.messages().len()).rev() {
            let verdict = self.send(&batch.messages()[index]).await;
            batch.verdict(index, verdict);
        }
    }

    /// All verdicts in the end.
    async fn send_together(&self, batch: PublishBatch) {
        let (inner, mut verdicts) = PublishBatch::new(batch.messages().to_vec());
        in_order(
            inner,
            16,
            |message| async move { self.send(&message).await },
        )
        .await;
        while let Some((index, verdict)) = verdicts.next().await {
            batch.verdict(index, verdict);
        }
    }

    /// Whatever became of the one before it.
    async fn send_each(&self, batch: PublishBatch) {
        for (index, message) in batch.messages().iter().enumerate() {
            batch.verdict(index, self.send(message).await);
        }
    }
}

impl Publisher for Sender {
    async fn publish(&self, batch: PublishBatch) {
        let count = batch.messages().len();
        if matches!(self.flaw, Flaw::OneCallAtATime | Flaw::BreaksWhenDropped) {
            let was_busy = self.busy.swap(true, Ordering::Relaxed);
            if was_busy {
                for index in 0..count {
                    batch.verdict(index, Err(PublishError::retryable("busy")));
                }
                // Only a call that ends makes room.
                return;
            }
        }
        match self.flaw {
            Flaw::PanicsOnNothing => assert!(count > 0, "nothing to publish"),
            Flaw::SmallBatches if count > 5_000 => {
                batch.verdict(0, Err(PublishError::permanent("too many")));
                return;
            }
            _ => {}
        }
        match self.flaw {
            Flaw::IgnoresKeys => self.send_backwards(batch).await,
            Flaw::WaitsForAll => self.send_together(batch).await,
            Flaw::GoesOn => self.send_each(batch).await,
            Flaw::ForgetsAVerdict => {
                let (inner, mut verdicts) = PublishBatch::new(batch.messages().to_vec());
                in_order(
                    inner,
                    16,
                    |message| async move { self.send(&message).await },
                )
                .await;
                while let Some((index, verdict)) = verdicts.next().await {
                    if index != 7 {
                        batch.verdict(index, verdict);
                    }
                }
            }
            _ => {
                in_order(
                    batch,
                    16,
                    |message| async move { self.send(&message).await },
                )
                .await;
            }
        }
        self.busy.store(false, Ordering::Relaxed);
    }
}

/// A receiver of which nothing is known but what arrived.
#[derive(Default)]
pub(crate) struct Plain(Arc<Mutex<Vec<Message>>>);

pub(crate) struct Push(Arc<Mutex<Vec<Message>>>);

impl Publisher for Push {
    async fn publish(&self, batch: PublishBatch) {
        for (index, message) in batch.messages().iter().enumerate() {
            self.0.lock().unwrap().push(message.clone());
            batch.verdict(index, Ok(()));
        }
    }
}

impl PublishTarget for Plain {
    type Publisher = Push;

    async fn publisher(&self) -> Push {
        Push(self.0.clone())
    }

    async fn received(&self) -> Vec<Message> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn cannot_carry(&self, oddity: Oddity) -> Option<&'static str> {
        (oddity == Oddity::UnicodeTopic).then_some("names are ASCII")
    }
}

/// A publisher whose calls never end, and a target that does not wait long.
pub(crate) struct Stuck;

impl Publisher for Stuck {
    async fn publish(&self, batch: PublishBatch) {
        pending::<()>().await;
        drop(batch);
    }
}

impl PublishTarget for Stuck {
    type Publisher = Self;

    async fn publisher(&self) -> Self {
        Self
    }

    async fn received(&self) -> Vec<Message> {
        Vec::new()
    }

    fn time_limit(&self) -> Duration {
        Duration::from_millis(50)
    }
}
