//! What arrives.

use std::sync::Arc;

use tokio::time::Instant;

use super::state::held::{Company, Extending, Held, Settlement};
use super::state::receiving::Received;
use super::state::{Hand, Revocation, Worker};
use crate::consumer::error::ConsumerError;
use crate::consumer::lanes::Ticket;
use crate::inbox::InboxDelivery;
use crate::inbox::kept::kept_key;
use crate::inbox::message_id::message_id;
use crate::source::{Arrival, Delivery, Either, Partition, Source, SourceError};
use crate::store::{ConsumerStore, lane};
use std::time::Duration;

/// Where what was put aside is from: what arrives meanwhile has lanes of its own.
const PUT_ASIDE: Partition = Partition(u64::MAX);

/// How long before a delivery can't be kept any more a warning says so.
const WARNING: Duration = Duration::from_mins(1);

impl<S: Source, DB: ConsumerStore> Worker<S, DB> {
    /// Asks the source for what comes next, if there is room for it.
    pub(super) fn ask(&mut self) {
        let limit = self.options.in_hand;
        let messages = self.held.len() + self.settling.len();
        self.metrics
            .holds(messages, self.amount.bytes, self.parking.count);
        let has_room = messages < limit.messages && self.amount.bytes < limit.bytes;
        // What arrives at the end is given back, so there is always room for it.
        let can_park = self.parking.count < u64::from(self.options.parked);
        let is_free = has_room && !self.outage.is_on();
        let takes = self.is_stopping() || (is_free && can_park);
        if takes == self.receiving.pause.is_some() {
            let is_honoured = self.source.0.pause(!takes);
            self.receiving.pause = (!takes).then_some(is_honoured);
        }
        let now = Instant::now();
        self.receiving.wake(now);
        self.parked_receiving.wake(now);
        if self.receiving.pause != Some(false) {
            self.receiving.ask();
        }
        if is_free || self.is_stopping() {
            self.parked_receiving.ask();
        }
    }

    pub(super) fn arrived(&mut self, answer: Option<Received<S::Delivery>>, now: Instant) {
        self.receiving.answered();
        // The task that receives ends with its last answer, or by a panic of the source.
        let answer = answer.unwrap_or_else(|| {
            Some(Err(SourceError::permanent(
                "the source panicked while it received",
            )))
        });
        match answer {
            None => {
                self.receiving.has_ended = true;
                // What is put aside is safe, and waits for the next run.
                self.stop_parked.0.stop();
            }
            Some(Err(error)) => self.source_failed(error, now),
            Some(Ok(arrival)) => {
                self.receiving.succeeded();
                match arrival {
                    Arrival::Delivery(delivery) => {
                        self.check_limit();
                        self.parking.arrived(delivery.partition());
                        self.admit(Either::First(delivery), now);
                    }
                    Arrival::Revoked(partitions, handover) => {
                        let deadline = now + self.options.shutdown_timeout;
                        self.parking.revoked(&partitions);
                        self.revoke(&partitions);
                        self.revocations.push(Revocation {
                            partitions,
                            _handover: handover,
                            deadline,
                        });
                    }
                }
            }
        }
    }

    /// The same for what was put aside.
    pub(super) fn parked_arrived(
        &mut self,
        answer: Option<Received<InboxDelivery<DB>>>,
        now: Instant,
    ) {
        self.parked_receiving.answered();
        match answer {
            Some(Some(Ok(arrival))) => {
                self.parked_receiving.succeeded();
                if let Arrival::Delivery(delivery) = arrival {
                    // A dead letter that was replayed is not among what was put aside here.
                    if let Some(key) = kept_key(delivery.incoming()) {
                        self.parking.found(lane(&key), Instant::now());
                    }
                    self.admit(Either::Second(delivery), now);
                }
            }
            Some(Some(Err(error))) => {
                self.parked_receiving.failed(Instant::now());
                self.outage_begins(&error);
            }
            Some(None) | None => self.parked_receiving.has_ended = true,
        }
    }

    fn source_failed(&mut self, error: SourceError, now: Instant) {
        if error.is_permanent() {
            self.receiving.has_ended = true;
            self.fatal.get_or_insert(ConsumerError::Source(error));
            self.stop(now);
            return;
        }
        let pause = self.receiving.failed(Instant::now());
        tracing::warn!(
            consumer = &*self.name,
            error = %error,
            next_attempt_in = ?pause,
            "the source can't receive; the consumer asks again, and nothing is lost"
        );
    }

    fn admit(&mut self, delivery: Hand<S, DB>, now: Instant) {
        let ticket = self.next;
        self.next += 1;
        let held = self.held(delivery, now);
        self.metrics.received(&held.delivery.incoming().topic);
        self.amount.bytes += held.size;
        let (partition, delivery) = (held.partition, Arc::clone(&held.delivery));
        self.held.insert(ticket, held);
        if self.is_stopping() {
            drop(delivery);
            self.settle(ticket, Settlement::GiveBack(Duration::ZERO));
            return;
        }
        self.watch(ticket);
        let key = delivery.incoming().key.as_deref();
        // Nobody orders anything by an empty key.
        let key = key.filter(|key| !key.is_empty());
        self.lanes.push(ticket, partition, key);
        drop(delivery);
        self.park_if_crowded(ticket, now);
    }

    fn held(&self, delivery: Hand<S, DB>, now: Instant) -> Held<Hand<S, DB>> {
        let incoming = delivery.incoming();
        let counts_first = incoming.redelivered || incoming.count.is_some_and(|count| count > 1);
        let time_left = delivery.time_left();
        // What the broker says of its own deliveries.
        let (count, longest) = match &delivery {
            Either::First(delivery) => (delivery.incoming().count, self.source.0.longest_hold()),
            Either::Second(_) => (None, None),
        };
        Held {
            message: message_id(incoming),
            partition: match &delivery {
                Either::First(delivery) => delivery.partition(),
                Either::Second(_) => PUT_ASIDE,
            },
            size: incoming.size(),
            count,
            deadline: time_left.map(|left| now + left),
            extend_at: time_left.map(|left| now + left / 3),
            warn_at: longest.map(|longest| now + longest.saturating_sub(WARNING)),
            extending: Extending::No,
            counts_first,
            counted: None,
            failures: 0,
            uncounted: 0,
            has_attempts: counts_first,
            run: None,
            company: Company::Others,
            reason: None,
            refused: 0,
            is_revoked: false,
            delivery: Arc::new(delivery),
        }
    }

    /// Compares the broker's delivery limit with the attempts, once.
    fn check_limit(&mut self) {
        if self.receiving.limit_is_checked {
            return;
        }
        self.receiving.limit_is_checked = true;
        let attempts = self.options.retry.limit();
        let limit = self.source.0.delivery_limit();
        if let Some(limit) = limit.filter(|limit| *limit <= attempts) {
            tracing::warn!(
                consumer = &*self.name,
                delivery_limit = limit,
                attempts,
                "the broker gives a message up after it was delivered that often, and a restart of the consumer is a delivery, too; \
                 raise the broker's limit above the attempts, or lower the attempts (`Backoff::attempts`)"
            );
        }
    }

    /// What does not run is the next owner's. What runs may end.
    fn revoke(&mut self, partitions: &[Partition]) {
        for ticket in self.lanes.revoke(partitions) {
            self.forget(ticket);
        }
        for held in self.held.values_mut() {
            if partitions.contains(&held.partition) {
                held.is_revoked = true;
            }
        }
    }

    /// Forgets a delivery without settling it.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        if let Some(held) = self.take_out(ticket) {
            self.amount.bytes = self.amount.bytes.saturating_sub(held.size);
        }
    }

    /// Takes a delivery out of everything but its lane.
    pub(super) fn take_out(&mut self, ticket: Ticket) -> Option<Held<Hand<S, DB>>> {
        let held = self.held.remove(&ticket)?;
        if let Some(at) = held.extend_at {
            self.extensions.remove(&(at, ticket));
        }
        if let Some(at) = held.warn_at {
            self.warnings.remove(&(at, ticket));
        }
        Some(held)
    }
}
