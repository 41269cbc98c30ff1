//! What must wait for long, or comes after something that does, is put aside in the database, so
//! that other keys go on.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::state::Worker;
use super::state::held::Settlement;
use super::state::task::{Done, on_connection};
use crate::consumer::lanes::Ticket;
use crate::consumer::options::STATEMENT_LIMIT;
use crate::inbox::kept::{kept, kept_key};
use crate::source::{Delivery, Either, Source};
use crate::statement::{StatementError, within};
use crate::store::{ConsumerStore, ErrorClass, InboxName, Lane, PARKED, lane};

/// Which part of the memory one key may have while it waits: a fourth.
const KEY_SHARE: usize = 4;

/// How often something is put aside that the database refuses, while it takes other writes.
const REFUSALS: u32 = 3;

impl<S: Source, DB: ConsumerStore> Worker<S, DB> {
    /// Whether something of the key of this delivery is put aside. Then it must follow.
    pub(super) fn follows_parked(&self, ticket: Ticket) -> bool {
        self.lane_of(ticket)
            .is_some_and(|lane| self.parking.lanes.contains(&lane))
    }

    /// What stands for the key of a delivery of the broker's.
    fn lane_of(&self, ticket: Ticket) -> Option<Lane> {
        match &*self.held.get(&ticket)?.delivery {
            Either::First(delivery) => kept_key(delivery.incoming()).map(|key| lane(&key)),
            Either::Second(_) => None,
        }
    }

    /// Whether a delivery can be put aside. An inbox keeps the place of what is given back, so there
    /// is no need.
    pub(super) fn can_park(&self, ticket: Ticket) -> bool {
        let held = self.held.get(&ticket);
        let is_brokers = held.is_some_and(|held| matches!(*held.delivery, Either::First(_)));
        is_brokers && !self.source.0.keeps_order()
    }

    /// Puts a delivery aside, with everything behind it in its lane.
    pub(super) fn park(&mut self, ticket: Ticket, due: Duration) {
        let tickets = self.lanes.tail(ticket);
        self.lanes.remove_all(&tickets);
        // What arrives from now on comes after it.
        if let Some(lane) = self.lane_of(ticket) {
            self.parking.lanes.insert(lane);
        }
        self.parking.generation += 1;
        self.parking.wanted.push_back((tickets, due));
    }

    /// A key that waits for its next attempt must not fill the memory meanwhile.
    pub(super) fn park_if_crowded(&mut self, ticket: Ticket, now: Instant) {
        let most = (self.options.in_hand.messages / KEY_SHARE).max(1);
        if let Some((first, until)) = self.lanes.crowded(ticket, most)
            && self.can_park(first)
            && !self.outage.is_on()
        {
            self.uncount(first);
            self.park(first, until.saturating_duration_since(now));
        }
    }

    /// One at a time, in order.
    pub(super) fn start_parking(&mut self) {
        if self.parking.is_writing {
            return;
        }
        let Some((mut tickets, due)) = self.parking.wanted.pop_front() else {
            return;
        };
        tickets.retain(|ticket| self.held.contains_key(ticket));
        let held = tickets.iter().filter_map(|ticket| self.held.get(ticket));
        let messages: Vec<_> = held
            .map(|held| kept(held.message.clone(), held.delivery.incoming()))
            .collect();
        self.parking.is_writing = true;
        let parked = self.parked.clone();
        self.tasks.spawn(async move {
            let added = within(STATEMENT_LIMIT, parked.add(messages, due)).await;
            Done::Parked(tickets, due, added)
        });
    }

    pub(super) fn parked(
        &mut self,
        tickets: Vec<Ticket>,
        due: Duration,
        parked: Result<u64, StatementError>,
    ) {
        self.parking.is_writing = false;
        self.parking.generation += 1;
        let Err(failed) = parked else {
            self.parking.refused = 0;
            self.parking.written(tickets.len(), Instant::now());
            tracing::debug!(
                consumer = &*self.name,
                deliveries = tickets.len(),
                due_in = ?due,
                "deliveries of a key were put aside"
            );
            for ticket in &tickets {
                self.count(*ticket, "parked");
            }
            self.settle_all(&tickets, &Settlement::Ack);
            return;
        };
        let class = failed.class::<DB>();
        if matches!(class, ErrorClass::Refused | ErrorClass::TooLarge { .. }) {
            self.parking.refused += 1;
        }
        if self.parking.refused >= REFUSALS || matches!(class, ErrorClass::TooLarge { .. }) {
            self.parking.refused = 0;
            tracing::error!(
                consumer = &*self.name,
                error = %failed,
                "the database can't keep a message that must wait, so it goes back to the broker with those of its key behind it; \
                 their order may be lost"
            );
            self.settle_all(&reversed(tickets), &Settlement::GiveBack(due));
            return;
        }
        if !failed.is_conflict::<DB>() {
            self.outage_begins(&failed);
        }
        self.parking.wanted.push_front((tickets, due));
    }

    /// Reads what is put aside: when a partition is new, and as long as there is anything.
    pub(super) fn start_reading_parked(&mut self) {
        if !self.parking.wants_to_read(Instant::now()) {
            return;
        }
        self.parking.reads();
        let generation = self.parking.generation;
        let limit = self.options.parked.saturating_add(1);
        let (pool, home, name) = self.for_statement();
        self.tasks.spawn(async move {
            let waiting = on_connection(&pool, STATEMENT_LIMIT, |conn| {
                Box::pin(async move {
                    let inbox = InboxName {
                        origin: PARKED,
                        name: &name,
                    };
                    DB::waiting(conn, &home, inbox, limit).await
                })
            });
            Done::Waiting(generation, waiting.await)
        });
    }

    pub(super) fn read_parked(
        &mut self,
        generation: u64,
        waiting: Result<(u64, Vec<Lane>), StatementError>,
    ) {
        match waiting {
            Ok((count, lanes)) => {
                let lanes: HashSet<_> = lanes.into_iter().collect();
                self.parking.read(generation, count, lanes, Instant::now());
            }
            Err(failed) => {
                self.parking.not_read();
                if !failed.is_conflict::<DB>() {
                    self.outage_begins(&failed);
                }
            }
        }
    }

    /// Gives back what is still to be put aside, at the end.
    pub(super) fn give_up_parking(&mut self) {
        for (tickets, _) in std::mem::take(&mut self.parking.wanted) {
            self.give_back_all(tickets);
        }
    }
}

fn reversed(mut tickets: Vec<Ticket>) -> Vec<Ticket> {
    tickets.reverse();
    tickets
}
