//! Deliveries that are given up become dead letters, and are acknowledged after that.

use super::state::Worker;
use super::state::held::{Held, Settlement};
use super::state::task::{Done, on_connection};
use crate::consumer::lanes::Ticket;
use crate::consumer::options::STATEMENT_LIMIT;
use crate::inbox::kept::kept;
use crate::reason::storable;
use crate::source::{Delivery, Source};
use crate::statement::StatementError;
use crate::store::{ConsumerStore, ErrorClass, Letter};

/// How often a letter is tried that the database refuses, while it takes other writes.
const REFUSALS: u32 = 3;

impl<S: Source, DB: ConsumerStore> Worker<S, DB> {
    /// Makes a dead letter of it. Its lane waits until that is written.
    pub(super) fn give_up(&mut self, ticket: Ticket, reason: String) {
        let Some(held) = self.held.get_mut(&ticket) else {
            self.lanes.done(ticket);
            return;
        };
        if let Some(attempts) = held.counted.take() {
            held.failures = attempts;
        } else if held.failures == 0 {
            // It was looked at, at least.
            held.failures = 1;
        }
        held.reason = Some(reason);
        self.burials.wanted.push_back(ticket);
    }

    /// One at a time: two connections must do for attempts and letters.
    pub(super) fn start_burying(&mut self) {
        if self.burials.is_running {
            return;
        }
        while let Some(ticket) = self.burials.wanted.pop_front() {
            let Some(held) = self.held.get(&ticket) else {
                continue;
            };
            let letter = letter(held);
            self.burials.is_running = true;
            let (pool, home, name) = self.for_statement();
            self.tasks.spawn(async move {
                let buried = on_connection(&pool, STATEMENT_LIMIT, |conn| {
                    Box::pin(async move { DB::bury(conn, &home, &name, &letter).await })
                });
                let buried = buried.await;
                Done::Buried(ticket, buried)
            });
            return;
        }
    }

    pub(super) fn buried(&mut self, ticket: Ticket, buried: &Result<(), StatementError>) {
        self.burials.is_running = false;
        let Err(failed) = buried else {
            self.outage.succeeded();
            self.stats.dead_lettered += 1;
            self.count(ticket, "dead_lettered");
            if let Some(held) = self.held.get(&ticket) {
                tracing::error!(
                    consumer = &*self.name,
                    idem.scope = self.scope(ticket),
                    messaging.message.id = held.message.id,
                    message_type = held.delivery.incoming().kind,
                    attempts = held.failures,
                    "given up, now a dead letter: `consumer_dead_letters` has the reason and the message"
                );
            }
            self.lanes.done(ticket);
            self.settle(ticket, Settlement::Ack);
            return;
        };
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        if !failed.is_conflict::<DB>() {
            let class = failed.class::<DB>();
            let is_refused = matches!(class, ErrorClass::Refused | ErrorClass::TooLarge { .. });
            held.refused += u32::from(is_refused);
            if held.refused >= REFUSALS || matches!(class, ErrorClass::TooLarge { .. }) {
                self.refuse(ticket, failed);
                return;
            }
            self.outage_begins(failed);
        }
        self.burials.wanted.push_front(ticket);
    }

    /// The database takes other writes, but not this message. The broker has it still.
    fn refuse(&mut self, ticket: Ticket, failed: &StatementError) {
        tracing::error!(
            consumer = &*self.name,
            idem.scope = self.scope(ticket),
            error = %failed,
            "the database can't keep this message as a dead letter, so it is rejected: the broker puts it to its own dead letters, \
             if it has them, and an inbox keeps it in `idem_inbox`, as done, for 4 days. Mend what `error` names before that"
        );
        self.count(ticket, "rejected");
        let reason = "no dead letter could be stored of it";
        self.lanes.done(ticket);
        self.settle(ticket, Settlement::Reject(reason.into()));
    }
}

fn letter<D: Delivery>(held: &Held<D>) -> Letter {
    Letter {
        kept: kept(held.message.clone(), held.delivery.incoming()),
        attempts: held.failures,
        reason: storable(held.reason.as_deref().unwrap_or_default()),
    }
}
