//! What runs next: each delivery by itself, or many of one handler in one transaction.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::AbortHandle;
use tracing::Instrument as _;

use super::state::Worker;
use super::state::held::{Company, Settlement};
use crate::consumer::lanes::Ticket;
use crate::consumer::route::Content;
use crate::source::{Delivery, Source};
use crate::store::ConsumerStore;
use crate::telemetry::consumer as telemetry;

/// How a delivery is started.
enum Start {
    /// It does not run, or not now.
    Not,
    /// Its attempt is counted before it runs.
    Counted,
    Alone,
    /// With others of its type.
    Together,
}

/// Deliveries of one type that are to share a transaction.
struct Batch {
    kind: String,
    tickets: Vec<Ticket>,
}

impl<S: Source, DB: ConsumerStore> Worker<S, DB> {
    /// Starts deliveries as long as there is a place for one.
    pub(super) fn start_deliveries(&mut self) {
        if !self.parking.is_known() {
            return;
        }
        let mut batches: Vec<Batch> = Vec::new();
        // What needs a place of its own, while there is none, keeps nobody else from a batch.
        let mut aside = Vec::new();
        let largest = self.largest_batch();
        loop {
            let has_place = self.free_places() > batches.len();
            if !has_place && batches.is_empty() {
                break;
            }
            let Some(ticket) = self.lanes.next() else {
                break;
            };
            let start = self.start_of(ticket);
            let joined = match start {
                Start::Together => batches
                    .iter_mut()
                    .find(|batch| batch.kind == self.kind(ticket)),
                _ => None,
            };
            match (start, joined) {
                (Start::Not, _) => continue,
                (_, Some(batch)) => batch.tickets.push(ticket),
                _ if !has_place => aside.push(ticket),
                (Start::Together, None) => batches.push(Batch {
                    kind: self.kind(ticket).to_owned(),
                    tickets: vec![ticket],
                }),
                (Start::Counted, None) => {
                    self.counts.not_run += 1;
                    self.counts.wanted.push_back((ticket, None));
                }
                (Start::Alone, None) => self.run(ticket),
            }
            let full = batches
                .iter()
                .position(|batch| batch.tickets.len() >= largest);
            if let Some(full) = full {
                let batch = batches.swap_remove(full);
                self.run_batch(batch);
            }
        }
        for ticket in aside.into_iter().rev() {
            self.lanes.put_back(ticket);
        }
        for batch in batches {
            self.run_batch(batch);
        }
    }

    fn free_places(&self) -> usize {
        let taken = self.running.len() + self.counts.not_run;
        self.options.concurrency.saturating_sub(taken)
    }

    /// What is ready is shared out evenly among the free places.
    fn largest_batch(&self) -> usize {
        let even = self.lanes.ready().div_ceil(self.free_places().max(1));
        even.clamp(1, self.options.batch)
    }

    fn kind(&self, ticket: Ticket) -> &str {
        let held = self.held.get(&ticket);
        held.map_or("", |held| &held.delivery.incoming().kind)
    }

    /// Looks at a delivery before it runs, and does what is to be done in place of that.
    fn start_of(&mut self, ticket: Ticket) -> Start {
        let Some(held) = self.held.get(&ticket) else {
            self.lanes.done(ticket);
            return Start::Not;
        };
        if self.follows_parked(ticket) {
            self.park(ticket, Duration::ZERO);
            return Start::Not;
        }
        let incoming = held.delivery.incoming();
        if let Some(error) = incoming.malformed() {
            let reason = error.to_string();
            self.give_up(ticket, reason);
            return Start::Not;
        }
        if incoming.kind.is_empty() {
            let reason = "the message says no type, so no handler can be found";
            self.give_up(ticket, reason.into());
            return Start::Not;
        }
        let Some(route) = self.routes.of(&incoming.kind) else {
            if self.options.ignore_unknown {
                self.lanes.done(ticket);
                self.settle(ticket, Settlement::Ack);
            } else {
                let reason = format!("no handler takes the type `{}`", incoming.kind);
                self.give_up(ticket, reason);
            }
            return Start::Not;
        };
        if held.counts_first && held.counted.is_none() {
            Start::Counted
        } else if self.options.batch > 1
            && !held.counts_first
            && held.company == Company::Others
            && route.is_batchable()
        {
            Start::Together
        } else {
            Start::Alone
        }
    }

    /// Runs one delivery.
    pub(super) fn run(&mut self, ticket: Ticket) {
        let Some(held) = self.held.get(&ticket) else {
            self.lanes.done(ticket);
            return;
        };
        let incoming = held.delivery.incoming();
        let Some(route) = self.routes.of(&incoming.kind) else {
            return;
        };
        let attempt = held.attempt();
        let span = telemetry::span(&self.name, self.source.0.system(), incoming, attempt);
        let content = Arc::clone(&held.delivery) as Arc<dyn Content>;
        let run = route.run(self.pool.clone(), content, attempt);
        let run = run.map(|ended| vec![ended]).instrument(span);
        let handle = self.running.spawn(run);
        self.has_started(vec![ticket], &handle);
    }

    /// Runs deliveries of one type in one transaction, in the order of their keys: what two batches
    /// lock by the key is locked in one order, and they don't wait for each other.
    fn run_batch(&mut self, mut batch: Batch) {
        let key = |ticket: &Ticket| {
            let held = self.held.get(ticket);
            held.and_then(|held| held.delivery.incoming().key.as_deref())
        };
        batch.tickets.sort_by(|a, b| key(a).cmp(&key(b)));
        if let [ticket] = batch.tickets.as_slice() {
            self.run(*ticket);
            return;
        }
        let Some(route) = self.routes.of(&batch.kind) else {
            return;
        };
        let held = batch
            .tickets
            .iter()
            .filter_map(|ticket| self.held.get(ticket));
        let span = telemetry::batch_span(
            &self.name,
            self.source.0.system(),
            &batch.kind,
            held.clone().map(|held| held.delivery.incoming()),
        );
        let deliveries = held.map(|held| {
            let content = Arc::clone(&held.delivery) as Arc<dyn Content>;
            (content, held.attempt())
        });
        let run = route.run_batch(self.pool.clone(), deliveries.collect());
        let handle = self.running.spawn(run.instrument(span));
        self.has_started(batch.tickets, &handle);
    }

    fn has_started(&mut self, tickets: Vec<Ticket>, handle: &AbortHandle) {
        for ticket in &tickets {
            if let Some(held) = self.held.get_mut(ticket) {
                held.run = Some(handle.clone());
            }
        }
        self.runs.insert(handle.id(), tickets);
    }
}
