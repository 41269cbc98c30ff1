//! What the broker is told, in the background.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::state::held::{Extending, Settlement};
use super::state::task::{Done, Settled};
use super::state::{Hand, Worker};
use crate::consumer::lanes::Ticket;
use crate::source::{Delivery, SettleError, Source};
use crate::store::ConsumerStore;

impl<S: Source, DB: ConsumerStore> Worker<S, DB> {
    /// Settles a delivery that has left its lane. It counts as in hand until the broker confirmed.
    pub(super) fn settle(&mut self, ticket: Ticket, how: Settlement) {
        if let Some((delivery, size)) = self.take_for_settling(ticket, &how) {
            self.tasks.spawn(async move {
                Done::Settled(vec![settled(ticket, size, delivery, how).await])
            });
        }
    }

    /// Settles them in this order, as far as that can be said of what is sent at once.
    pub(super) fn settle_all(&mut self, tickets: &[Ticket], how: &Settlement) {
        let mut all = Vec::with_capacity(tickets.len());
        for ticket in tickets {
            if let Some((delivery, size)) = self.take_for_settling(*ticket, how) {
                all.push(settled(*ticket, size, delivery, how.clone()));
            }
        }
        if !all.is_empty() {
            self.tasks
                .spawn(async move { Done::Settled(join_all(all).await) });
        }
    }

    /// Takes a delivery to settle it. None: it is gone, or is settled once it was extended.
    fn take_for_settling(
        &mut self,
        ticket: Ticket,
        how: &Settlement,
    ) -> Option<(Hand<S, DB>, usize)> {
        let held = self.held.get_mut(&ticket)?;
        if held.extending != Extending::No {
            held.extending = Extending::ThenSettle(how.clone());
            return None;
        }
        let held = self.take_out(ticket)?;
        self.settling.insert(ticket, held.partition);
        let Some(delivery) = Arc::into_inner(held.delivery) else {
            // Only what runs or is being extended shares it.
            unreachable!("a delivery is settled while it is in use");
        };
        Some((delivery, held.size))
    }

    pub(super) fn settled(&mut self, all: &[Settled]) {
        for settled in all {
            self.settling.remove(&settled.ticket);
            self.amount.bytes = self.amount.bytes.saturating_sub(settled.size);
            if let Err(error) = &settled.result {
                self.stats.unsettled += 1;
                tracing::warn!(
                    consumer = &*self.name,
                    error = %error,
                    lost = error.is_lost(),
                    "the broker did not confirm to {} a delivery; it may come again, and is a duplicate then",
                    settled.what
                );
            }
        }
    }
}

async fn settled<D: Delivery>(
    ticket: Ticket,
    size: usize,
    delivery: D,
    how: Settlement,
) -> Settled {
    let what = match how {
        Settlement::Ack => "acknowledge",
        Settlement::GiveBack(_) => "give back",
        Settlement::Reject(_) => "reject",
    };
    let settling = async {
        match how {
            Settlement::Ack => delivery.ack().await,
            Settlement::GiveBack(after) => delivery.give_back(after).await,
            Settlement::Reject(reason) => delivery.reject(&reason).await,
        }
    };
    let result = AssertUnwindSafe(settling).catch_unwind().await;
    Settled {
        ticket,
        size,
        what,
        result: result.unwrap_or_else(|_| Err(SettleError::unconfirmed("the source panicked"))),
    }
}
