//! One run of a consumer: a loop that starts what can be started and takes in what has ended.
//!
//! Handlers run in tasks of their own, and so do statements and settlements. All that is known is in
//! this loop, so nothing is locked, and a task that hangs holds up nothing but itself.
//!
//! What is known is in `state`, and each file beside this one is one part of the work.

mod burying;
mod counting;
mod extending;
mod leaving;
mod outage;
mod parking;
mod receiving;
mod running;
mod settling;
mod starting;
mod state;

use std::future::Future;
use std::pin::Pin;

use sqlx::Pool;
use tokio::time::Instant;

use self::state::Worker;
use self::state::task::Done;
use super::error::ConsumerError;
use super::options::Options;
use super::route::Routes;
use super::stats::ConsumerStats;
use crate::source::{Clock, Source};
use crate::statement::resume;
use crate::store::ConsumerStore;

/// The runtime's clock.
const SYSTEM: Clock = Clock::SYSTEM;

/// Runs a consumer to its end.
pub(super) async fn run<S: Source, DB: ConsumerStore>(
    name: String,
    source: S,
    pool: Pool<DB>,
    routes: Result<Routes<DB>, ConsumerError>,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<ConsumerStats, ConsumerError> {
    let mut shutdown = Box::pin(shutdown);
    let started = match routes {
        Ok(routes) => Worker::start(name.clone(), source, pool, routes, options).await,
        Err(error) => Err(error),
    };
    let ended = match started {
        Ok(mut worker) => worker.work(shutdown.as_mut()).await,
        Err(error) => Err(error),
    };
    match &ended {
        Ok(stats) => tracing::debug!(
            consumer = name,
            handled = stats.handled,
            "the consumer has ended"
        ),
        Err(error) => tracing::error!(
            consumer = name,
            error = %error,
            "the consumer has ended, and nothing is consumed until one is started again"
        ),
    }
    ended
}

impl<S: Source, DB: ConsumerStore> Worker<S, DB> {
    async fn work(
        &mut self,
        mut shutdown: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<ConsumerStats, ConsumerError> {
        loop {
            let now = self.clock.now();
            self.start_all(now);
            if self.is_over() {
                return match self.fatal.take() {
                    Some(error) => Err(error),
                    None => Ok(self.stats),
                };
            }
            let clock = self.clock.clone();
            let (due, real) = (self.next_due(now), self.next_real());
            tokio::select! {
                arrival = self.arrivals.recv(), if !self.receiving.has_ended => {
                    self.arrived(arrival, now);
                }
                arrival = self.parked_arrivals.recv(), if !self.parked_receiving.has_ended => {
                    self.parked_arrived(arrival, now);
                }
                Some(ran) = self.running.join_next_with_id() => self.ran(ran, now),
                Some(done) = self.tasks.join_next() => {
                    self.take_in(done.unwrap_or_else(resume), now);
                }
                () = shutdown.as_mut(), if !self.is_stopping() => self.stop(now),
                () = clock.sleep_until(due) => {}
                () = SYSTEM.sleep_until(real) => {}
            }
        }
    }

    /// Starts everything that can run now.
    fn start_all(&mut self, now: Instant) {
        self.lanes.wake(now);
        self.leave_late(now);
        self.leave_in_an_outage();
        self.extend_due(now);
        self.start_probe();
        if !self.outage.is_on() {
            self.start_reading_parked();
            self.start_deliveries();
            self.start_parking();
            self.start_counting();
            self.start_burying();
            self.start_forgetting();
        }
        self.hand_over();
        self.ask();
    }

    fn take_in(&mut self, done: Done, now: Instant) {
        match done {
            Done::Counted(attempts, counts) => self.counted(attempts, counts, now),
            Done::Forgot(forgot) => self.forgot(forgot),
            Done::Buried(ticket, buried) => self.buried(ticket, &buried),
            Done::Probed(probed) => self.probed(probed, now),
            Done::Parked(tickets, due, parked) => self.parked(tickets, due, parked),
            Done::Waiting(generation, waiting) => self.read_parked(generation, waiting),
            Done::Settled(settled) => self.settled(&settled),
            Done::Extended(ticket, extended) => self.extended(ticket, extended, now),
        }
    }
}
