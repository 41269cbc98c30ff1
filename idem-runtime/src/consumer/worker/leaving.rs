//! The end of a run, and of a partition.

use std::time::Duration;

use tokio::time::Instant;

use super::state::held::Settlement;
use super::state::{Leaving, Worker};
use crate::consumer::lanes::Ticket;
use crate::source::Source;
use crate::store::ConsumerStore;

/// How long what was interrupted may take to be rolled back and given back.
const GRACE: Duration = Duration::from_secs(5);

impl<S: Source, DB: ConsumerStore> Worker<S, DB> {
    /// Nothing new is taken, what waits is given back, and what runs may end.
    pub(super) fn stop(&mut self, now: Instant) {
        if self.is_stopping() {
            return;
        }
        self.leaving = Some(Leaving {
            deadline: now + self.options.shutdown_timeout,
            last: None,
        });
        self.source.0.stop();
        self.stop_parked.0.stop();
        let waiting = self.lanes.clear();
        self.give_back_all(waiting);
    }

    /// Gives back what has left its lane, the last first: a broker that puts each at the head of its
    /// queue has them in their order then.
    pub(super) fn give_back_all(&mut self, mut tickets: Vec<Ticket>) {
        tickets.sort_unstable_by(|a, b| b.cmp(a));
        for ticket in &tickets {
            self.uncount(*ticket);
        }
        self.settle_all(&tickets, &Settlement::GiveBack(Duration::ZERO));
    }

    /// A delivery that would wait here goes back, or to the next owner of its partition.
    pub(super) fn leave(&mut self, ticket: Ticket, after: Duration) {
        self.lanes.done(ticket);
        self.uncount(ticket);
        if self.held.get(&ticket).is_some_and(|held| held.is_revoked) {
            self.forget(ticket);
        } else {
            self.settle(ticket, Settlement::GiveBack(after));
        }
    }

    /// What ran was ended by this consumer: that is no attempt.
    pub(super) fn interrupted(&mut self, ticket: Ticket, now: Instant) {
        if self.is_stopping() || self.is_revoked(ticket) {
            self.leave(ticket, Duration::ZERO);
        } else {
            // The partition of another delivery of its batch was taken away.
            self.lanes.wait(ticket, now);
        }
    }

    /// At the end nothing waits for a database that is away: it goes back.
    pub(super) fn leave_in_an_outage(&mut self) {
        if !self.is_stopping() || !self.outage.is_on() {
            return;
        }
        self.give_up_parking();
        let counts = std::mem::take(&mut self.counts.wanted);
        for (ticket, reason) in counts {
            self.not_run_any_more(reason.is_none());
            self.leave(ticket, Duration::ZERO);
        }
        for ticket in std::mem::take(&mut self.burials.wanted) {
            self.leave(ticket, Duration::ZERO);
        }
    }

    /// Interrupts what is late.
    pub(super) fn leave_late(&mut self, now: Instant) {
        let late = self.revocations.iter();
        let late = late.filter(|revocation| revocation.deadline <= now);
        let partitions: Vec<_> = late
            .flat_map(|revocation| revocation.partitions.iter().copied())
            .collect();
        if !partitions.is_empty() {
            let held = self.held.iter();
            let of =
                held.filter(|(_, held)| held.is_revoked && partitions.contains(&held.partition));
            let tickets: Vec<_> = of.map(|(ticket, _)| *ticket).collect();
            self.interrupt(&tickets, now);
        }
        if let Some(leaving) = &mut self.leaving
            && leaving.last.is_none()
            && leaving.deadline <= now
        {
            leaving.last = Some(Instant::now() + GRACE);
            self.give_up_parking();
            let tickets: Vec<_> = self.held.keys().copied().collect();
            if !tickets.is_empty() {
                tracing::warn!(
                    consumer = &*self.name,
                    deliveries = tickets.len(),
                    "the time to shut down is over: what still runs is interrupted, and comes again"
                );
            }
            self.interrupt(&tickets, now);
        }
    }

    fn interrupt(&mut self, tickets: &[Ticket], now: Instant) {
        for ticket in tickets {
            match self.held.get(ticket).and_then(|held| held.run.as_ref()) {
                // Its end is taken in as an interruption.
                Some(run) => run.abort(),
                // It waits for the database, which is away.
                None => self.interrupted(*ticket, now),
            }
        }
    }

    /// Lets the broker have partitions of which nothing is left.
    pub(super) fn hand_over(&mut self) {
        if self.revocations.is_empty() {
            return;
        }
        let (held, settling) = (&self.held, &self.settling);
        self.revocations.retain(|revocation| {
            let is_of = |partition| revocation.partitions.contains(partition);
            held.values()
                .any(|held| held.is_revoked && is_of(&held.partition))
                || settling.values().any(is_of)
        });
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        if let Some(last) = self.leaving.and_then(|leaving| leaving.last)
            && Instant::now() >= last
        {
            tracing::warn!(
                consumer = &*self.name,
                deliveries = self.held.len() + self.settling.len(),
                "the consumer ends before everything was settled; what was not comes again"
            );
            return true;
        }
        let is_forgetting = self.forgets.is_running
            || !self.forgets.done.is_empty()
            || !self.forgets.interrupted.is_empty();
        self.receiving.has_ended
            && self.parked_receiving.has_ended
            && self.held.is_empty()
            && self.settling.is_empty()
            && self.running.is_empty()
            && (!is_forgetting || self.outage.is_on())
    }
}
