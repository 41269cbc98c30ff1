//! What a case works with: a queue of its own, messages, instances, and what is left in the end.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use idem_runtime::{
    Arrival, ConsumerDeadLetter, Delivery, Event, EventId, Message, Source, consumer_dead_letters,
};
use sqlx::Pool;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::database::{ConnectOptions, SourceDatabase};
use super::instance::{Instance, Settings};
use super::script::{Act, Script, Step};
use super::target::{SourceTarget, WireMessage};
use crate::conformance::failure::{Result, violated};

/// Between two questions to a broker.
const PAUSE: Duration = Duration::from_millis(30);

/// Numbers of messages are unique over all cases, so that each case knows its effects.
static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// What all cases share.
#[derive(Debug)]
pub(super) struct Shared<T, DB: SourceDatabase> {
    pub(super) target: Arc<T>,
    pub(super) options: ConnectOptions<DB>,
    pub(super) pool: Pool<DB>,
    /// Whether the sizes are those of a night, and not of a gate.
    pub(super) is_long: bool,
}

#[derive(Debug)]
pub(super) struct Bed<'a, T, DB: SourceDatabase> {
    pub(super) shared: &'a Shared<T, DB>,
    /// Also the name of the consumer.
    pub(super) queue: String,
    pub(super) script: Script,
}

/// A message of a case.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) n: u32,
    pub(super) id: String,
    pub(super) wire: WireMessage,
}

impl Sent {
    /// A message with a number and an ID of its own.
    pub(super) fn new(key: Option<&str>, act: Act) -> Self {
        Self::padded(key, act, 0)
    }

    pub(super) fn padded(key: Option<&str>, act: Act, bytes: usize) -> Self {
        let n = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let step = Step {
            n,
            act,
            padding: "x".repeat(bytes),
        };
        let payload = serde_json::to_vec(&step).unwrap_or_default();
        let mut message = Message::new(
            EventId::new(Uuid::now_v7()),
            Step::TOPIC,
            Step::TYPE,
            payload,
        );
        message.source = "urn:idem:conformance".into();
        message.key = key.map(str::to_owned);
        Self {
            n,
            id: message.id.to_string(),
            wire: WireMessage::new(&message),
        }
    }
}

impl<'a, T: SourceTarget, DB: SourceDatabase> Bed<'a, T, DB> {
    pub(super) async fn new(shared: &'a Shared<T, DB>, case: &str) -> Self {
        let case = case.split(':').next().unwrap_or_default();
        let case = case.replace(' ', "-");
        let queue = format!(
            "conformance-{case}-{:08x}",
            Uuid::now_v7().as_fields().0 ^ NUMBERS.load(Ordering::Relaxed)
        );
        shared.target.create(&queue).await;
        Self {
            shared,
            queue,
            script: Script::default(),
        }
    }

    pub(super) fn target(&self) -> &T {
        &self.shared.target
    }

    /// How long is waited for what must happen: 30 s of two minutes.
    pub(super) fn limit(&self) -> Duration {
        self.target().time_limit() / 4
    }

    pub(super) async fn send<'m>(&self, messages: impl IntoIterator<Item = &'m Sent>) {
        let wire = messages.into_iter().map(|sent| sent.wire.clone()).collect();
        self.target().send(&self.queue, wire).await;
    }

    pub(super) fn start(&self, settings: Settings) -> Result<Instance> {
        self.start_through(self.shared.options.clone(), settings)
    }

    pub(super) fn start_through(
        &self,
        options: ConnectOptions<DB>,
        settings: Settings,
    ) -> Result<Instance> {
        Instance::start::<T, DB>(
            Arc::clone(&self.shared.target),
            self.queue.clone(),
            options,
            self.script.clone(),
            settings,
        )
    }

    pub(super) async fn stop(&self, instance: Instance) -> Result {
        instance.stop(self.limit()).await.map(drop)
    }

    /// Waits until these have succeeded.
    pub(super) async fn succeed(&self, what: &str, messages: &[Sent]) -> Result {
        let numbers: Vec<u32> = messages.iter().map(|sent| sent.n).collect();
        self.script
            .until(self.limit(), what, |seen| {
                seen.succeeded.len() >= numbers.len()
                    && numbers.iter().all(|n| seen.succeeded.contains(n))
            })
            .await
    }

    /// Waits until the handler of this message has begun so often.
    pub(super) async fn begin(&self, message: &Sent, times: usize) -> Result {
        let n = message.n;
        let what = format!("attempt {times} of a message begins");
        self.script
            .until(self.limit(), &what, |seen| {
                seen.begun.iter().filter(|begun| begun.0 == n).count() >= times
            })
            .await
    }

    /// Waits until the broker keeps nothing of the queue.
    pub(super) async fn drained(&self) -> Result {
        self.kept_are(0).await
    }

    /// Waits until the broker keeps so many messages of the queue.
    pub(super) async fn kept_are(&self, messages: usize) -> Result {
        let end = Instant::now() + self.limit();
        loop {
            let kept = self.target().kept(&self.queue).await;
            if kept.total() == messages {
                return Ok(());
            }
            if Instant::now() > end {
                return violated(format!(
                    "after {:?} the broker keeps {kept:?}, and {messages} messages are not done",
                    self.limit()
                ));
            }
            sleep(PAUSE).await;
        }
    }

    /// The dead letters so far.
    pub(super) async fn letters(&self) -> Result<Vec<ConsumerDeadLetter>> {
        let letters = consumer_dead_letters(&self.shared.pool, &self.queue, 0, 1_000).await;
        letters.or_else(|error| violated(format!("the dead letters can't be read: {error}")))
    }

    /// Waits until there are so many dead letters.
    pub(super) async fn letters_come(&self, count: usize) -> Result<Vec<ConsumerDeadLetter>> {
        let end = Instant::now() + self.limit();
        loop {
            let letters = self.letters().await?;
            if letters.len() >= count {
                return Ok(letters);
            }
            if Instant::now() > end {
                return violated(format!(
                    "{} dead letters and not {count} after {:?}",
                    letters.len(),
                    self.limit()
                ));
            }
            sleep(PAUSE).await;
        }
    }

    pub(super) async fn no_letters(&self) -> Result {
        let letters = self.letters().await?;
        match letters.first() {
            None => Ok(()),
            Some(letter) => violated(format!(
                "{} messages became dead letters; the first one: {}",
                letters.len(),
                letter.reason
            )),
        }
    }

    /// Each of these has its effect in the database, once.
    pub(super) async fn each_effect_is_single(&self, messages: &[Sent]) -> Result {
        let mut expected: Vec<i64> = messages.iter().map(|sent| sent.n.into()).collect();
        expected.sort_unstable();
        let range = range(messages);
        let effects = DB::effects(&self.shared.pool, *range.start(), *range.end()).await;
        let mut effects = match effects {
            Ok(effects) => effects,
            Err(error) => return violated(format!("the effects can't be read: {error}")),
        };
        effects.sort_unstable();
        if effects == expected {
            return Ok(());
        }
        let count = |n: &i64, of: &[i64]| of.iter().filter(|other| *other == n).count();
        let missing = expected.iter().filter(|n| count(n, &effects) == 0).count();
        let doubled = expected.iter().filter(|n| count(n, &effects) > 1).count();
        violated(format!(
            "of {} messages {missing} have no effect in the database, and {doubled} have it twice",
            expected.len()
        ))
    }

    /// What succeeded of these is in their order.
    pub(super) fn in_order(&self, messages: &[Sent]) -> Result {
        let order: Vec<u32> = messages.iter().map(|sent| sent.n).collect();
        let seen = self.script.seen();
        let mut ended: Vec<u32> = seen.succeeded.clone();
        ended.retain(|n| order.contains(n));
        drop(seen);
        // One whose COMMIT had an unknown end runs again, and that is its duplicate.
        let mut first = Vec::new();
        for n in ended {
            if !first.contains(&n) {
                first.push(n);
            }
        }
        if first == order {
            return Ok(());
        }
        violated(format!(
            "messages of one key were handled in another order than they were sent: {first:?} and not {order:?}"
        ))
    }

    /// A delivery of a source without a consumer.
    pub(super) async fn receive(
        &self,
        source: &T::Source,
    ) -> Result<<T::Source as Source>::Delivery> {
        let limit = self.limit();
        let receive = async {
            loop {
                match source.receive().await {
                    None => return violated("the source ends although nobody stopped it"),
                    Some(Ok(Arrival::Delivery(delivery))) => return Ok(delivery),
                    Some(Ok(_)) => {}
                    Some(Err(error)) if error.is_permanent() => {
                        return violated(format!("the source gives up: {error}"));
                    }
                    Some(Err(_)) => sleep(PAUSE).await,
                }
            }
        };
        match timeout(limit, receive).await {
            Ok(delivery) => delivery,
            Err(_) => violated(format!("nothing is delivered within {limit:?}")),
        }
    }

    /// The next delivery, which must be of this message.
    pub(super) async fn receive_this(
        &self,
        source: &T::Source,
        sent: &Sent,
    ) -> Result<<T::Source as Source>::Delivery> {
        let delivery = self.receive(source).await?;
        let id = &delivery.incoming().id;
        if *id == sent.id {
            return Ok(delivery);
        }
        violated(format!("delivered is {id}, and expected was {}", sent.id))
    }
}

fn range(messages: &[Sent]) -> RangeInclusive<u32> {
    let numbers = || messages.iter().map(|sent| sent.n);
    numbers().min().unwrap_or(0)..=numbers().max().unwrap_or(0)
}
