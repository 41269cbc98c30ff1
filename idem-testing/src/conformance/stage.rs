//! What a case works with: a publisher of its own, messages, and what arrived.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::join;
use idem_runtime::{EventId, Message, PublishBatch, PublishError, Publisher, Verdicts};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::failure::{Result, violated};
use super::target::PublishTarget;

/// Every payload, key and header has it, and no reason of an error may have it.
const SECRET: &str = "c0nfidential";

/// Between two looks at what arrived, and between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Stage<'a, T: PublishTarget> {
    pub(super) target: &'a T,
    pub(super) publisher: T::Publisher,
    arrived: Vec<Message>,
}

/// How each message of a batch ended. `None` is no verdict.
pub(super) type Verdict = Option<std::result::Result<(), PublishError>>;

impl<'a, T: PublishTarget> Stage<'a, T> {
    pub(super) async fn new(target: &'a T) -> Self {
        Self {
            target,
            publisher: target.publisher().await,
            arrived: Vec::new(),
        }
    }

    /// A message with a new ID. `number` is for a reader of the report.
    pub(super) fn message(&self, key: Option<&str>, number: usize) -> Message {
        let payload = format!(r#"{{"n":{number},"text":"{SECRET}"}}"#);
        let id = EventId::new(Uuid::now_v7());
        let mut message = Message::new(id, self.target.topic(), "ConformanceChecked", payload);
        message.source = "urn:idem:conformance".into();
        message.key = key.map(|key| format!("{SECRET}-{key}"));
        message.headers.insert("causation".into(), SECRET.into());
        message
    }

    /// Messages of these keys, in order.
    pub(super) fn messages(&self, keys: &[Option<&str>]) -> Vec<Message> {
        let numbered = keys.iter().enumerate();
        numbered
            .map(|(number, key)| self.message(*key, number))
            .collect()
    }

    /// How long is waited for what was confirmed: 30 s of two minutes.
    fn arrival_limit(&self) -> Duration {
        self.target.time_limit() / 4
    }

    /// How long one call may take before it is dropped, as a relay does: 15 s of two minutes.
    fn call_limit(&self) -> Duration {
        self.target.time_limit() / 8
    }

    /// One call, which is dropped if it takes too long.
    pub(super) async fn publish(&self, messages: &[Message]) -> Result<Vec<Verdict>> {
        let (_, verdicts) = self.call(self.call_limit(), messages).await?;
        Ok(verdicts)
    }

    /// One call that must end and confirm everything.
    pub(super) async fn publish_all(&self, messages: &[Message]) -> Result {
        self.publish_all_within(self.call_limit(), messages).await
    }

    pub(super) async fn publish_all_within(&self, limit: Duration, messages: &[Message]) -> Result {
        let (ended, verdicts) = self.call(limit, messages).await?;
        if !ended {
            return violated(format!("the call does not end within {limit:?}"));
        }
        for (number, verdict) in verdicts.iter().enumerate() {
            let count = verdicts.len();
            match verdict {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    return violated(format!("message {number} of {count} failed: {error}"));
                }
                None => return violated(format!("message {number} of {count} got no verdict")),
            }
        }
        Ok(())
    }

    /// Whether the call ended, and its verdicts.
    async fn call(&self, limit: Duration, messages: &[Message]) -> Result<(bool, Vec<Verdict>)> {
        let (batch, mut verdicts) = PublishBatch::new(messages.to_vec());
        let call = timeout(limit, self.publisher.publish(batch));
        let (end, verdicts) = join(call, all(&mut verdicts, messages.len())).await;
        check_reasons(&verdicts)?;
        Ok((end.is_ok(), verdicts))
    }

    /// Publishes, as a relay does, what is not confirmed yet, until all is.
    pub(super) async fn publish_until_confirmed(
        &self,
        messages: &[Message],
        verdicts: &[Verdict],
    ) -> Result {
        let mut left = unconfirmed(messages, verdicts);
        let limit = self.arrival_limit();
        let end = Instant::now() + limit;
        while !left.is_empty() {
            let verdicts = self.publish(&left).await?;
            let failed = verdicts
                .iter()
                .flatten()
                .find_map(|verdict| verdict.clone().err());
            left = unconfirmed(&left, &verdicts);
            if let Some(error) = failed.as_ref().filter(|error| error.is_permanent()) {
                return violated(format!("given up once the broker works again: {error}"));
            }
            if !left.is_empty() && Instant::now() > end {
                return violated(format!(
                    "{} messages are not confirmed {limit:?} after the broker works again; the last error: {failed:?}",
                    left.len()
                ));
            }
            if !left.is_empty() {
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Waits until all of these have arrived.
    pub(super) async fn arrive(&mut self, messages: &[Message]) -> Result {
        let limit = self.arrival_limit();
        let end = Instant::now() + limit;
        let mut missing: HashSet<_> = messages.iter().map(|message| message.id).collect();
        for message in &self.arrived {
            missing.remove(&message.id);
        }
        while !missing.is_empty() {
            let new = self.target.received().await;
            if new.is_empty() {
                if Instant::now() > end {
                    return violated(format!(
                        "{} of {} confirmed messages have not arrived within {limit:?}",
                        missing.len(),
                        messages.len()
                    ));
                }
                sleep(PAUSE).await;
            }
            for message in &new {
                missing.remove(&message.id);
            }
            self.arrived.extend(new);
        }
        Ok(())
    }

    /// What arrived first under this ID.
    pub(super) fn arrival(&self, id: EventId) -> Option<&Message> {
        self.arrived.iter().find(|message| message.id == id)
    }

    /// Whether the messages of each key arrived in this order. Where one arrived more than once,
    /// its first arrival counts.
    pub(super) fn arrived_in_order(&self, messages: &[Message]) -> Result {
        let mut place_of = HashMap::new();
        for (place, message) in self.arrived.iter().enumerate() {
            place_of.entry(message.id).or_insert(place);
        }
        let mut last_of = HashMap::new();
        for (number, message) in messages.iter().enumerate() {
            let (Some(key), Some(place)) = (&message.key, place_of.get(&message.id)) else {
                continue;
            };
            if let Some((before, earlier)) = last_of.insert(key, (number, place))
                && earlier > place
            {
                return violated(format!(
                    "message {number} of {} arrived before message {before}, which has the same key and comes first",
                    messages.len()
                ));
            }
        }
        Ok(())
    }
}

/// All verdicts of a call, once it has ended.
async fn all(verdicts: &mut Verdicts, count: usize) -> Vec<Verdict> {
    let mut all = vec![None; count];
    while let Some((index, verdict)) = verdicts.next().await {
        all[index] = Some(verdict);
    }
    all
}

/// Those without an `Ok`, which are to be published again.
pub(super) fn unconfirmed(messages: &[Message], verdicts: &[Verdict]) -> Vec<Message> {
    let pairs = messages.iter().zip(verdicts);
    pairs
        .filter(|(_, verdict)| !matches!(verdict, Some(Ok(()))))
        .map(|(message, _)| message.clone())
        .collect()
}

/// Reasons are stored and logged.
pub(super) fn check_reasons(verdicts: &[Verdict]) -> Result {
    let errors = verdicts
        .iter()
        .flatten()
        .filter_map(|verdict| verdict.as_ref().err());
    for error in errors {
        if error.reason().contains(SECRET) {
            return violated(format!(
                "the reason of an error shows the payload, the key or a header: {error}"
            ));
        }
    }
    Ok(())
}
