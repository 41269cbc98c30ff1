//! Deadlines of what runs or waits.

use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::state::Worker;
use super::state::held::Extending;
use super::state::task::Done;
use crate::consumer::lanes::Ticket;
use crate::source::{Delivery, SettleError, Source};
use crate::store::ConsumerStore;

/// Not more often than this, whatever the deadline.
const SHORTEST: Duration = Duration::from_millis(10);

impl<S: Source, DB: ConsumerStore> Worker<S, DB> {
    /// A delivery has arrived.
    pub(super) fn watch(&mut self, ticket: Ticket) {
        if let Some(held) = self.held.get(&ticket) {
            self.extensions
                .extend(held.extend_at.map(|at| (at, ticket)));
            self.warnings.extend(held.warn_at.map(|at| (at, ticket)));
        }
    }

    pub(super) fn extend_due(&mut self, now: Instant) {
        while let Some(&(at, ticket)) = self.warnings.first()
            && at <= now
        {
            self.warnings.pop_first();
            if let Some(held) = self.held.get_mut(&ticket) {
                held.warn_at = None;
                let is_running = held.run.is_some();
                tracing::warn!(
                    consumer = &*self.name,
                    idem.scope = self.scope(ticket),
                    is_running,
                    "the broker takes a delivery back in a minute, and it can't be extended any more: it then comes again while its \
                     handler may still run; make the handler faster, or raise the broker's limit"
                );
            }
        }
        while let Some(&(at, ticket)) = self.extensions.first()
            && at <= now
        {
            self.extensions.pop_first();
            let Some(held) = self.held.get_mut(&ticket) else {
                continue;
            };
            held.extend_at = None;
            held.extending = Extending::Now;
            let delivery = Arc::clone(&held.delivery);
            self.tasks.spawn(async move {
                let extended = AssertUnwindSafe(delivery.extend()).catch_unwind().await;
                drop(delivery);
                Done::Extended(
                    ticket,
                    extended
                        .unwrap_or_else(|_| Err(SettleError::unconfirmed("the source panicked"))),
                )
            });
        }
    }

    pub(super) fn extended(
        &mut self,
        ticket: Ticket,
        extended: Result<Option<Duration>, SettleError>,
        now: Instant,
    ) {
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        if let Extending::ThenSettle(how) = mem::take(&mut held.extending) {
            self.settle(ticket, how);
            return;
        }
        let left = match extended {
            Ok(left) => {
                held.deadline = left.map(|left| now + left);
                left
            }
            Err(error) => {
                let left = held.deadline.map_or(Duration::ZERO, |deadline| {
                    deadline.saturating_duration_since(now)
                });
                if error.is_lost() || left.is_zero() {
                    self.lost(ticket, &error);
                    return;
                }
                tracing::debug!(consumer = &*self.name, error = %error, "a delivery was not extended");
                Some(left)
            }
        };
        if let Some(left) = left {
            let at = now + (left / 3).max(SHORTEST);
            held.extend_at = Some(at);
            self.extensions.insert((at, ticket));
        }
    }

    /// The broker took it back. It and those behind it come again.
    fn lost(&mut self, ticket: Ticket, error: &SettleError) {
        tracing::warn!(
            consumer = &*self.name,
            idem.scope = self.scope(ticket),
            error = %error,
            "the broker took a delivery back; it comes again, and those of its key that came after it are given back"
        );
        let gone = self.lanes.lost(ticket);
        let (own, behind): (Vec<_>, Vec<_>) = gone.into_iter().partition(|gone| *gone == ticket);
        for ticket in own {
            self.forget(ticket);
        }
        self.give_back_all(behind);
    }
}
