//! One run of a relay: take the lease, fetch, publish, mark, again.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Pool;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::connection::GuardedConnection;
use super::error::RelayError;
use super::lease::HeldLease;
use super::options::Options;
use super::stats::RelayStats;
use super::verdict::Place;
use crate::message::Message;
use crate::publisher::{PublishError, Publisher};
use crate::store::{ErrorClass, OutboxStore, Remaining, Settlement, Stored};
use crate::telemetry::Redacted;
use crate::telemetry::unlogged::unlogged;

/// How long a relay that can't reach its database waits at most before it tries again.
const LONGEST_OUTAGE_PAUSE: Duration = Duration::from_secs(10);

/// How often one statement is tried that other writers keep from running.
const ATTEMPTS: u32 = 5;

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// When its token is cancelled.
    Shutdown,
    /// When nothing is left to publish.
    Empty,
}

pub(super) struct Worker<DB: OutboxStore, P> {
    pool: Pool<DB>,
    publisher: Arc<P>,
    options: Options,
    until: Until,
    lease: HeldLease<DB>,
    relayed: RelayStats,
}

/// What one round did.
enum Round {
    /// Something was published or failed: there may be more.
    Worked,
    /// There is nothing to publish now, by this relay.
    Idle(Remaining),
}

impl<DB: OutboxStore, P: Publisher> Worker<DB, P> {
    pub(super) fn new(pool: Pool<DB>, publisher: Arc<P>, options: Options, until: Until) -> Self {
        Self {
            lease: HeldLease::new(pool.clone(), options.lease),
            pool,
            publisher,
            options,
            until,
            relayed: RelayStats::default(),
        }
    }

    pub(super) async fn run(
        mut self,
        shutdown: CancellationToken,
    ) -> Result<RelayStats, RelayError> {
        let ended = self.rounds(&shutdown).await;
        self.lease.release().await;
        ended.map(|()| self.relayed)
    }

    async fn rounds(&mut self, shutdown: &CancellationToken) -> Result<(), RelayError> {
        let mut reached = false;
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            let pause = match self.round().await {
                Ok(Round::Worked) => {
                    (reached, failures) = (true, 0);
                    continue;
                }
                Ok(Round::Idle(Remaining::Nothing)) if self.until == Until::Empty => return Ok(()),
                Ok(Round::Idle(remaining)) => {
                    (reached, failures) = (true, 0);
                    match remaining {
                        Remaining::Waiting(retry) => retry.min(self.options.poll_interval),
                        Remaining::Nothing | Remaining::Due => self.options.poll_interval,
                    }
                }
                Err(RelayError::Store(error)) if self.survives(&error, reached, failures) => {
                    failures += 1;
                    tracing::warn!(error = %Redacted(&error), failures, "the database refused the relay or can't be reached; the relay tries again");
                    self.options
                        .poll_interval
                        .saturating_mul(1 << failures.min(16))
                        .min(LONGEST_OUTAGE_PAUSE)
                }
                Err(error) => return Err(error),
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
        Ok(())
    }

    /// Whether to go on after an error of the database. A service lives through the outages of a
    /// database that it has reached once; before that, and in a job, an error is more likely to be
    /// a mistake in the set-up.
    fn survives(&self, error: &sqlx::Error, reached: bool, failures: u32) -> bool {
        match self.until {
            Until::Shutdown if reached => true,
            _ => is_contention::<DB>(error) && failures < ATTEMPTS,
        }
    }

    async fn round(&mut self) -> Result<Round, RelayError> {
        if !self.lease.ensure().await.map_err(refused::<DB>)? {
            return Ok(Round::Idle(self.remaining_for_others().await?));
        }
        let stored = self.pending().await?;
        if stored.is_empty() {
            return Ok(Round::Idle(self.remaining().await?));
        }
        let (places, messages, mut settlement) = sort(stored);
        let Some(verdicts) = self.publish(&messages).await? else {
            // Another relay publishes these.
            return Ok(Round::Idle(Remaining::Due));
        };
        let judged = self
            .options
            .policy
            .judge(&messages, &places, verdicts, &mut rand::rng());
        settlement.published = judged.published;
        settlement.retries = judged.retries;
        settlement.dead.extend(judged.dead);
        drop(messages);
        if self.settle(&settlement).await? {
            self.relayed.published += settlement.published.len() as u64;
            self.relayed.failed += settlement.retries.len() as u64;
            self.relayed.dead_lettered += settlement.dead.len() as u64;
        }
        Ok(Round::Worked)
    }

    async fn pending(&self) -> Result<Vec<Stored>, RelayError> {
        let mut conn = GuardedConnection::acquire(&self.pool)
            .await
            .map_err(refused::<DB>)?;
        let pending = DB::pending(conn.connection(), self.options.limit).await;
        conn.done(pending).map_err(refused::<DB>)
    }

    async fn remaining(&self) -> Result<Remaining, RelayError> {
        let mut conn = GuardedConnection::acquire(&self.pool)
            .await
            .map_err(refused::<DB>)?;
        let remaining = DB::remaining(conn.connection()).await;
        conn.done(remaining).map_err(refused::<DB>)
    }

    /// A relay that stands by asks only if the answer could end its run.
    async fn remaining_for_others(&self) -> Result<Remaining, RelayError> {
        match self.until {
            Until::Shutdown => Ok(Remaining::Due),
            Until::Empty => match self.remaining().await? {
                Remaining::Nothing => Ok(Remaining::Nothing),
                // The other one's retries are no reason to ask more often.
                _ => Ok(Remaining::Due),
            },
        }
    }

    /// Publishes and keeps the lease meanwhile. `None`: the lease is lost, and with it the batch.
    async fn publish(
        &mut self,
        messages: &[Message],
    ) -> Result<Option<Vec<Result<(), PublishError>>>, RelayError> {
        if messages.is_empty() {
            return Ok(Some(Vec::new()));
        }
        if Instant::now() >= self.lease.until() {
            return Ok(None);
        }
        let span = tracing::debug_span!(
            "publish",
            otel.kind = "producer",
            messaging.operation.type = "send",
            messaging.batch.message_count = messages.len(),
        );
        let verdicts = tokio::select! {
            biased;
            verdicts = self.publisher.publish(messages).instrument(span) => verdicts,
            () = self.lease.keep() => return Ok(None),
        };
        if verdicts.len() == messages.len() {
            Ok(Some(verdicts))
        } else {
            Err(RelayError::Verdicts {
                publisher: std::any::type_name::<P>(),
                messages: messages.len(),
                verdicts: verdicts.len(),
            })
        }
    }

    /// Marks what was published. Tried again while the lease lasts: what is not marked is published
    /// once more.
    async fn settle(&mut self, settlement: &Settlement) -> Result<bool, RelayError> {
        let deadline = self.lease.until();
        let mut failures = 0;
        loop {
            let asked = Instant::now();
            match self.settle_once(settlement).await {
                Ok(held) => {
                    self.lease.note(asked, held);
                    return Ok(held);
                }
                Err(error) => {
                    failures += 1;
                    let pause = Duration::from_millis(50) * failures;
                    if Instant::now() + pause >= deadline {
                        return Err(refused::<DB>(error));
                    }
                    tracing::warn!(error = %Redacted(&error), failures, "published, but not yet marked");
                    sleep(pause).await;
                }
            }
        }
    }

    async fn settle_once(&self, settlement: &Settlement) -> Result<bool, sqlx::Error> {
        let mut conn = GuardedConnection::acquire(&self.pool).await?;
        let settled = unlogged(DB::settle(
            conn.connection(),
            self.lease.lease(),
            settlement,
        ))
        .await;
        conn.done(settled)
    }
}

/// Parts what can be sent from what is not even a message.
fn sort(stored: Vec<Stored>) -> (Vec<Place>, Vec<Message>, Settlement) {
    let mut settlement = Settlement::default();
    let mut places = Vec::with_capacity(stored.len());
    let mut messages = Vec::with_capacity(stored.len());
    for event in stored {
        let place = Place {
            seq: event.seq,
            attempts: event.attempts,
        };
        let id = event.id;
        match event.into_message() {
            Ok(message) => {
                places.push(place);
                messages.push(message);
            }
            Err(reason) => {
                tracing::error!(messaging.message.id = %id, reason, "can't be sent, now a dead letter");
                settlement.bury_unread(&place, place.attempts, reason);
            }
        }
    }
    (places, messages, settlement)
}

fn is_contention<DB: OutboxStore>(error: &sqlx::Error) -> bool {
    matches!(
        DB::classify(error),
        ErrorClass::Conflict | ErrorClass::TimedOut
    )
}

fn refused<DB: OutboxStore>(error: sqlx::Error) -> RelayError {
    match DB::classify(&error) {
        ErrorClass::NotMigrated => RelayError::NotMigrated,
        _ => RelayError::Store(error),
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests;
