//! A broker in memory, which can have a flaw, and its source.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use idem_runtime::{Arrival, Delivery, Incoming, SettleError, Source, SourceError};
use idem_testing::conformance::{Capabilities, Kept, SourceTarget, Unsupported, WireMessage};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How many messages a source takes.
const PREFETCH: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueFlaw {
    None,
    AcksWhatItHandsOut,
    ConfirmsWhatIsLost,
    DeliversAgainWithoutSayingSo,
    CountsEachAsTheFirst,
    GivesBackAtOnce,
    ForgetsWhatIsGivenBack,
    DeliversRejectedAgain,
    DropsHeaders,
    GoesOnAfterStop,
    TakesAll,
    HandsOutTheLastFirst,
}

/// Queues by name.
pub(crate) struct Queues(Arc<Shared>);

struct Shared {
    flaw: QueueFlaw,
    queues: Mutex<HashMap<String, Queue>>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Message>,
    /// By the number of the delivery.
    out: BTreeMap<u64, (u64, Message)>,
    next: u64,
    /// What an earlier connection had is lost to it.
    connection: u64,
}

#[derive(Clone)]
struct Message {
    wire: WireMessage,
    count: u32,
    due: Option<Instant>,
}

impl Queue {
    /// Takes back what is out, of one source or of all.
    fn take_back(&mut self, is_taken: impl Fn(u64) -> bool) {
        let lost: Vec<u64> = self
            .out
            .iter()
            .filter(|(_, (source, _))| is_taken(*source))
            .map(|(number, _)| *number)
            .collect();
        for number in lost.into_iter().rev() {
            let (_, message) = self.out.remove(&number).unwrap();
            self.waiting.push_front(message);
        }
    }
}

impl Shared {
    fn with<T>(&self, queue: &str, change: impl FnOnce(&mut Queue) -> T) -> T {
        let result = change(
            self.queues
                .lock()
                .unwrap()
                .entry(queue.to_owned())
                .or_default(),
        );
        self.changed.send_modify(|changes| *changes += 1);
        result
    }
}

impl Queues {
    pub(crate) fn new(flaw: QueueFlaw) -> Self {
        Self(Arc::new(Shared {
            flaw,
            queues: Mutex::default(),
            changed: watch::Sender::default(),
        }))
    }
}

impl SourceTarget for Queues {
    type Source = QueueSource;

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::none("memory has no such thing", PREFETCH);
        capabilities.delayed = Ok(());
        capabilities.counts = Ok(());
        capabilities
    }

    async fn create(&self, queue: &str) {
        self.0.with(queue, |_| ());
    }

    async fn source(&self, queue: &str) -> QueueSource {
        let id = self.0.with(queue, |queue| {
            queue.next += 1;
            queue.next
        });
        QueueSource {
            shared: Arc::clone(&self.0),
            queue: queue.to_owned(),
            id,
            stopped: watch::Sender::new(false),
            hoard: Mutex::default(),
        }
    }

    async fn send(&self, queue: &str, messages: Vec<WireMessage>) {
        self.0.with(queue, |queue| {
            queue
                .waiting
                .extend(messages.into_iter().map(|wire| Message {
                    wire,
                    count: 0,
                    due: None,
                }));
        });
    }

    async fn kept(&self, queue: &str) -> Kept {
        let queues = self.0.queues.lock().unwrap();
        Kept {
            waiting: queues[queue].waiting.len(),
            handed_out: queues[queue].out.len(),
        }
    }

    async fn cut_connections(&self) -> Result<(), Unsupported> {
        for queue in self.0.queues.lock().unwrap().values_mut() {
            queue.connection += 1;
            queue.take_back(|_| true);
        }
        self.0.changed.send_modify(|changes| *changes += 1);
        Ok(())
    }
}

pub(crate) struct QueueSource {
    shared: Arc<Shared>,
    queue: String,
    id: u64,
    stopped: watch::Sender<bool>,
    /// What was taken without being asked for.
    hoard: Mutex<VecDeque<QueueDelivery>>,
}

impl QueueSource {
    /// The next delivery, or when there may be one.
    fn take(&self, queue: &mut Queue) -> Result<QueueDelivery, Option<Instant>> {
        let flaw = self.shared.flaw;
        let has = queue.out.values().filter(|(source, _)| *source == self.id);
        if has.count() >= PREFETCH && flaw != QueueFlaw::TakesAll {
            return Err(None);
        }
        let now = Instant::now();
        let is_due = |message: &Message| message.due.is_none_or(|due| due <= now);
        let place = if flaw == QueueFlaw::HandsOutTheLastFirst {
            queue.waiting.iter().rposition(is_due)
        } else {
            queue.waiting.iter().position(is_due)
        };
        let Some(place) = place else {
            return Err(queue.waiting.iter().filter_map(|message| message.due).min());
        };
        let mut message = queue.waiting.remove(place).unwrap();
        message.count += 1;
        let WireMessage {
            mut attributes,
            content_type,
            body,
            ..
        } = message.wire.clone();
        if flaw == QueueFlaw::DropsHeaders {
            attributes.retain(|(name, _)| name != "tenant");
        }
        let mut incoming = Incoming::from_attributes(attributes, content_type, body);
        incoming.topic.clone_from(&self.queue);
        let is_first = message.count == 1;
        incoming.redelivered = !is_first && flaw != QueueFlaw::DeliversAgainWithoutSayingSo;
        let counted = flaw != QueueFlaw::CountsEachAsTheFirst;
        incoming.count = Some(if counted { message.count } else { 1 });
        queue.next += 1;
        let number = queue.next;
        if flaw != QueueFlaw::AcksWhatItHandsOut {
            queue.out.insert(number, (self.id, message));
        }
        Ok(QueueDelivery {
            shared: Arc::clone(&self.shared),
            queue: self.queue.clone(),
            number,
            connection: queue.connection,
            incoming,
        })
    }
}

impl Source for QueueSource {
    type Delivery = QueueDelivery;

    async fn receive(&self) -> Option<Result<Arrival<QueueDelivery>, SourceError>> {
        let mut stopped = self.stopped.subscribe();
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let goes_on = self.shared.flaw == QueueFlaw::GoesOnAfterStop;
            if *stopped.borrow_and_update() && !goes_on {
                return None;
            }
            let taken = {
                let mut queues = self.shared.queues.lock().unwrap();
                let queue = queues.get_mut(&self.queue).unwrap();
                let mut taken = self.take(queue);
                if self.shared.flaw == QueueFlaw::TakesAll {
                    let mut hoard = self.hoard.lock().unwrap();
                    while let Ok(delivery) = taken {
                        hoard.push_back(delivery);
                        taken = self.take(queue);
                    }
                    taken = hoard.pop_front().ok_or(None);
                }
                taken
            };
            let due = match taken {
                Ok(delivery) => return Some(Ok(Arrival::Delivery(delivery))),
                Err(due) => due,
            };
            let until_due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = changed.changed() => {}
                _ = stopped.changed() => {}
                () = until_due => {}
            }
        }
    }

    fn stop(&self) {
        self.stopped.send_replace(true);
    }
}

/// As a connection that is closed.
impl Drop for QueueSource {
    fn drop(&mut self) {
        let id = self.id;
        self.shared
            .with(&self.queue, |queue| queue.take_back(|source| source == id));
    }
}

pub(crate) struct QueueDelivery {
    shared: Arc<Shared>,
    queue: String,
    number: u64,
    connection: u64,
    incoming: Incoming,
}

impl QueueDelivery {
    fn settle(&self, back: Option<Duration>) -> Result<(), SettleError> {
        let flaw = self.shared.flaw;
        self.shared.with(&self.queue, |queue| {
            let is_early = flaw == QueueFlaw::AcksWhatItHandsOut;
            if queue.connection != self.connection {
                if flaw == QueueFlaw::ConfirmsWhatIsLost {
                    return Ok(());
                }
                return Err(SettleError::lost("its connection was cut"));
            }
            let Some((_, mut message)) = queue.out.remove(&self.number) else {
                return if is_early {
                    Ok(())
                } else {
                    Err(SettleError::lost("somebody else has it"))
                };
            };
            if let Some(after) = back
                && flaw != QueueFlaw::ForgetsWhatIsGivenBack
            {
                let waits = !after.is_zero() && flaw != QueueFlaw::GivesBackAtOnce;
                message.due = waits.then(|| Instant::now() + after);
                queue.waiting.push_front(message);
            }
            Ok(())
        })
    }
}

impl Delivery for QueueDelivery {
    fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    async fn ack(self) -> Result<(), SettleError> {
        self.settle(None)
    }

    async fn give_back(self, after: Duration) -> Result<(), SettleError> {
        self.settle(Some(after))
    }

    async fn reject(self, _: &str) -> Result<(), SettleError> {
        let again = self.shared.flaw == QueueFlaw::DeliversRejectedAgain;
        self.settle(again.then_some(Duration::ZERO))
    }
}
