//! One run of a relay: a loop that starts what can be started and takes in what has ended.
//!
//! Looking, publishing and settling run side by side, in tasks. All state is in this loop, so
//! nothing is locked, and a task that hangs holds up nothing but itself.
//!
//! The state is in `state`; each other file of this folder is one part of the work.

mod full_look;
mod membership;
mod outage;
mod publishing;
mod reading;
mod settling;
mod state;

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::state::session::woken;
use self::state::task::Done;
pub(super) use self::state::{Until, Worker};
use super::calls::Step;
use super::error::RelayError;
use super::stats::RelayStats;
use crate::publisher::{Publisher, Report};
use crate::statement::resume;
use crate::store::OutboxStore;

/// How many reports of publishers are taken in at once.
const REPORTS: usize = 4_096;

impl<DB: OutboxStore, P: Publisher> Worker<DB, P> {
    pub(super) async fn run(
        mut self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<RelayStats, RelayError> {
        let mut shutdown = Box::pin(shutdown);
        let ended = self.work(shutdown.as_mut()).await;
        self.membership.leave(&self.options).await;
        match &ended {
            Ok(()) => tracing::debug!(
                target_name = self.options.target,
                published = self.stats.published,
                "the relay has ended"
            ),
            Err(error) => tracing::error!(
                target_name = self.options.target,
                error = %error,
                "the relay has ended because of an error and publishes nothing more: mend what the error names, and \
                 start the relay again"
            ),
        }
        ended.map(|()| self.stats)
    }

    async fn work(
        &mut self,
        mut shutdown: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<(), RelayError> {
        let mut reports = Vec::with_capacity(REPORTS);
        let mut steps = Vec::new();
        loop {
            let now = Instant::now();
            self.start(now);
            if self.is_over() {
                return Ok(());
            }
            let timer = self.next_timer();
            tokio::select! {
                _ = self.heard.recv_many(&mut reports, REPORTS) => {
                    self.hear(&mut reports, &mut steps);
                }
                Some(done) = self.tasks.join_next() => {
                    self.take_in(done.unwrap_or_else(resume))?;
                }
                Some((batch, how)) = self.running.next() => {
                    self.hear(&mut reports, &mut steps);
                    self.calls.ended(batch, how, &mut steps);
                    self.follow(&mut steps);
                }
                () = self.sleeper.woken() => self.reading.wake(now),
                woken = woken(&mut self.membership.session) => {
                    match woken {
                        Ok(()) => self.reading.wake(now),
                        Err(error) => self.session_lost(&error),
                    }
                }
                () = shutdown.as_mut(), if !self.is_stopping() => {
                    self.stopping_since = Some(Instant::now());
                }
                () = sleep_until(timer) => {
                    let now = Instant::now();
                    self.give_up_late_calls(now, &mut steps);
                    self.lanes.wake(now);
                }
            }
        }
    }

    /// Starts everything that can run now.
    fn start(&mut self, now: Instant) {
        self.lanes.wake(now);
        self.start_membership(now);
        if !self.is_stopping() {
            self.start_reading(now);
            self.start_publishing(now);
        }
        self.start_settling(now);
    }

    /// Whether the run can end: nothing is with a publisher, and what it confirmed is settled.
    fn is_over(&self) -> bool {
        if self.calls.open() > 0 {
            return false;
        }
        if let Some(since) = self.stopping_since {
            return self.settling.is_idle() || self.gives_up_settling(since);
        }
        let is_drained = self.until == Until::Empty && self.reading.is_drained();
        is_drained && self.settling.is_idle() && self.lanes.is_empty()
    }

    /// A database that does not answer must not keep a relay from ending. But after one lost answer
    /// it is asked once more, on another connection, since to give up means to publish again.
    fn gives_up_settling(&self, since: Instant) -> bool {
        let is_away = self.outage.is_on(Instant::now()) && self.settling.failures > 1;
        let is_late = is_away && since.elapsed() >= self.options.lease;
        if is_late {
            tracing::warn!(
                target_name = self.options.target,
                events = self.settling.len(),
                "the relay ends while the database does not answer: these events were published and could not be \
                 deleted, so the next relay publishes them a second time, under the same IDs"
            );
        }
        is_late
    }

    /// When the next thing is due that no task's end brings about.
    fn next_timer(&self) -> Instant {
        let timers = [
            Some(self.membership.next_check()),
            self.reading.next_look().filter(|_| !self.is_stopping()),
            self.lanes.next_due(),
            self.calls.next_deadline(),
            self.pause.until(),
            self.outage.until(),
        ];
        let now = Instant::now();
        let next = timers.into_iter().flatten().filter(|timer| *timer > now);
        next.min()
            .unwrap_or_else(|| now + Duration::from_millis(100))
    }

    /// Takes in what a statement brought.
    fn take_in(&mut self, done: Done<DB>) -> Result<(), RelayError> {
        match done {
            Done::Session(opened) => self.session_opened(opened),
            Done::Coordinated(asked, decided) => self.coordinated(asked, decided),
            Done::Members(seen) => self.members_seen(seen),
            Done::Look(generation, look) => self.looked(generation, look),
            Done::GivenUp(never) => self.given_up(never),
            Done::Read(wanted, found) => self.read_again(wanted, found),
            Done::Places(generation, places) => self.full_look(generation, places),
            Done::HasEvents(has) => self.has_events(has),
            Done::Settled(batch, settled) => self.settled(batch, settled),
        }
    }

    fn hear(&mut self, reports: &mut Vec<Report>, steps: &mut Vec<Step>) {
        while let Ok(report) = self.heard.try_recv() {
            reports.push(report);
            if reports.len() >= REPORTS {
                break;
            }
        }
        // A relay that ends gives nobody more time.
        let since = self.stopping_since.unwrap_or_else(Instant::now);
        let until = since + self.options.publish_timeout;
        for report in reports.drain(..) {
            match report {
                Report::Verdict {
                    batch,
                    index,
                    verdict,
                } => self.calls.verdict(batch, index, verdict, until, steps),
                Report::Dropped { batch } => self.calls.dropped(batch, steps),
            }
        }
        self.follow(steps);
    }
}
