//! Deliveries that run, and how they end.

use std::convert::Infallible;
use std::time::Duration;

use tokio::task::{Id, JoinError};
use tokio::time::Instant;

use super::state::Worker;
use super::state::held::{Company, Settlement};
use crate::consumer::failure::Cause;
use crate::consumer::lanes::Ticket;
use crate::consumer::route::Ended;
use crate::error::Error;
use crate::source::{Delivery, Source};
use crate::store::ConsumerStore;

impl<S: Source, DB: ConsumerStore> Worker<S, DB> {
    pub(super) fn ran(&mut self, ran: Result<(Id, Vec<Ended>), JoinError>, now: Instant) {
        let (id, ended, panicked) = match ran {
            Ok((id, ended)) => (id, Some(ended), false),
            Err(error) => (error.id(), None, error.is_panic()),
        };
        let tickets = self.runs.remove(&id).unwrap_or_default();
        for ticket in &tickets {
            if let Some(held) = self.held.get_mut(ticket) {
                held.run = None;
            }
        }
        match ended {
            Some(ended) => {
                for (ticket, ended) in tickets.into_iter().zip(ended) {
                    self.ended(ticket, ended, now);
                }
            }
            // Of one, that is a failed attempt. Of many, nobody knows whose.
            None if panicked => {
                let alone = tickets.len() == 1;
                for ticket in tickets {
                    let ended = if alone {
                        Ended::Panicked
                    } else {
                        Ended::Alone(Cause::Handler)
                    };
                    self.ended(ticket, ended, now);
                }
            }
            // It was interrupted, and is rolled back.
            None => {
                for ticket in tickets {
                    self.interrupted(ticket, now);
                }
            }
        }
    }

    fn ended(&mut self, ticket: Ticket, ended: Ended, now: Instant) {
        match ended {
            Ended::Done => {
                self.outage.succeeded();
                self.stats.handled += 1;
                self.count(ticket, "handled");
                self.handled(ticket);
            }
            Ended::GivenUp { reason } => self.give_up(ticket, reason),
            Ended::Alone(cause) => {
                self.hear_of(cause);
                self.run_alone(ticket, now);
            }
            Ended::Panicked => {
                let scope = self.scope(ticket);
                tracing::error!(
                    consumer = &*self.name,
                    idem.scope = scope,
                    "the handler panicked; that is a failed attempt of this delivery"
                );
                self.failed(ticket, "the handler panicked".into(), now);
            }
            Ended::Failed {
                counts,
                cause,
                reason,
            } => {
                self.hear_of(cause);
                if counts {
                    self.failed(ticket, reason, now);
                } else {
                    self.ended_uncounted(ticket, now);
                }
            }
        }
    }

    /// What an end says of the database.
    fn hear_of(&mut self, cause: Cause) {
        match cause {
            Cause::Handler => self.outage.succeeded(),
            Cause::Database(error) => {
                if self.outage.failed() {
                    self.outage_begins(&error);
                }
            }
            Cause::NotMigrated => self.outage_begins(&Error::<Infallible>::NotMigrated),
            Cause::Told => {}
        }
    }

    /// It is run by itself from now on: at once, or once the database takes writes.
    fn run_alone(&mut self, ticket: Ticket, now: Instant) {
        if let Some(held) = self.held.get_mut(&ticket) {
            held.company = Company::Nobody;
        }
        if self.outage.is_on() {
            self.wait_for_the_database(ticket);
        } else if self.is_stopping() || self.is_revoked(ticket) {
            self.leave(ticket, Duration::ZERO);
        } else {
            self.lanes.wait(ticket, now);
        }
    }

    fn handled(&mut self, ticket: Ticket) {
        self.lanes.done(ticket);
        if let Some(held) = self.held.get(&ticket) {
            let incoming = held.delivery.incoming();
            self.metrics.handled(&incoming.topic, incoming.published_at);
            if held.has_attempts {
                self.forgets.done.push(held.message.clone());
            }
            self.settle(ticket, Settlement::Ack);
        }
    }

    /// An attempt failed. It counts if that can be written.
    fn failed(&mut self, ticket: Ticket, reason: String, now: Instant) {
        let Some(held) = self.held.get_mut(&ticket) else {
            self.lanes.done(ticket);
            return;
        };
        held.company = Company::Nobody;
        match held.counted.take() {
            Some(attempts) => {
                // Only what ends the process must be counted before.
                held.counts_first = false;
                self.attempt_failed(ticket, attempts, reason, now);
            }
            None if self.outage.is_on() => self.wait_for_the_database(ticket),
            None => self.counts.wanted.push_back((ticket, Some(reason))),
        }
    }

    /// An attempt failed, and is counted.
    pub(super) fn attempt_failed(
        &mut self,
        ticket: Ticket,
        attempts: u32,
        reason: String,
        now: Instant,
    ) {
        let limit = self.source.0.delivery_limit();
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        held.failures = attempts;
        held.has_attempts = true;
        // One more delivery, and the broker would give it up by itself, without the reason.
        let is_last =
            matches!((held.count, limit), (Some(count), Some(limit)) if count + 1 >= limit);
        if attempts >= self.options.retry.limit() || is_last {
            self.give_up(ticket, reason);
            return;
        }
        self.stats.failed += 1;
        self.count(ticket, "failed");
        tracing::debug!(
            consumer = &*self.name,
            idem.scope = self.scope(ticket),
            attempts,
            "an attempt failed"
        );
        self.again(ticket, attempts, now);
    }

    /// It ended without an attempt. If it was counted before it ran, that is the number of the next
    /// attempt here, and is taken back when it leaves.
    fn ended_uncounted(&mut self, ticket: Ticket, now: Instant) {
        let Some(held) = self.held.get_mut(&ticket) else {
            self.lanes.done(ticket);
            return;
        };
        held.uncounted += 1;
        let times = held.uncounted;
        if self.outage.is_on() {
            self.wait_for_the_database(ticket);
        } else {
            self.again(ticket, times, now);
        }
    }

    /// Takes the attempt back that was counted before it ran.
    pub(super) fn uncount(&mut self, ticket: Ticket) {
        if let Some(held) = self.held.get_mut(&ticket)
            && held.counted.take().is_some()
        {
            self.forgets.interrupted.push(held.message.clone());
        }
    }

    /// Runs it again after a pause: here, or put aside, or where it came from.
    fn again(&mut self, ticket: Ticket, times: u32, now: Instant) {
        let delay = self.options.retry.delay(times, &mut rand::rng());
        if self.is_stopping() || self.is_revoked(ticket) {
            self.leave(ticket, delay);
        } else if delay <= self.options.hold {
            self.lanes.wait(ticket, now + delay);
            self.park_if_crowded(ticket, now);
        } else if self.can_park(ticket) {
            self.uncount(ticket);
            self.park(ticket, delay);
        } else {
            // Those behind it would overtake it otherwise. The last one first, so that a broker that
            // puts each at the head of its queue has them in their order.
            self.uncount(ticket);
            let mut tickets = self.lanes.tail(ticket);
            self.lanes.remove_all(&tickets);
            tickets.reverse();
            self.settle_all(&tickets, &Settlement::GiveBack(delay));
        }
    }

    /// It runs again once the database takes writes.
    pub(super) fn wait_for_the_database(&mut self, ticket: Ticket) {
        if self.is_stopping() || self.is_revoked(ticket) {
            self.leave(ticket, Duration::ZERO);
        } else {
            self.lanes.hold(ticket);
        }
    }

    pub(super) fn is_revoked(&self, ticket: Ticket) -> bool {
        self.held.get(&ticket).is_some_and(|held| held.is_revoked)
    }

    /// What its handler is called in logs.
    pub(super) fn scope(&self, ticket: Ticket) -> &'static str {
        let held = self.held.get(&ticket);
        let route = held.and_then(|held| self.routes.of(&held.delivery.incoming().kind));
        route.map_or("none", |route| route.scope())
    }

    /// Counts how a delivery ended, in the metrics.
    pub(super) fn count(&self, ticket: Ticket, outcome: &'static str) {
        self.metrics.ended(self.scope(ticket), outcome);
    }
}
