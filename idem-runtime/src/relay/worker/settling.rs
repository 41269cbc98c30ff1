//! Deletes the events that were published, and writes down those that failed or were given up.

use super::state::Worker;
use super::state::settling::{Batch, Burial, MOST};
use super::state::task::Done;
use crate::publisher::Publisher;
use crate::relay::error::RelayError;
use crate::statement::{StatementError, on_connection};
use crate::store::{OutboxStore, Place, Settlement};
use crate::telemetry::relay as telemetry;
use tokio::time::Instant;
use uuid::Uuid;

impl<DB: OutboxStore, P: Publisher> Worker<DB, P> {
    pub(super) fn start_settling(&mut self, now: Instant) {
        let Some(home) = self.membership.home() else {
            return;
        };
        if self.settling.is_running || self.settling.batch.is_empty() || self.outage.is_on(now) {
            return;
        }
        let all = &mut self.settling.batch;
        let batch = Batch {
            confirmed: take(&mut all.confirmed),
            failed: take(&mut all.failed),
            dead: take(&mut all.dead),
        };
        self.settling.is_running = true;
        let (pool, options, owner) = (self.pool.clone(), self.options.clone(), self.owner);
        self.tasks.spawn(async move {
            let published: Vec<Place> = batch.confirmed.iter().map(|left| left.place).collect();
            let recovered = batch.confirmed.iter().filter(|left| left.attempts > 0);
            let recovered: Vec<Uuid> = recovered.map(|left| left.place.id).collect();
            let failed = batch.failed.clone();
            let dead: Vec<_> = batch.dead.iter().map(|dead| dead.letter.clone()).collect();
            let limit = options.statement_limit();
            let settled = on_connection(&pool, limit, |conn| {
                Box::pin(async move {
                    let settlement = Settlement {
                        target: &options.target,
                        owner,
                        published: &published,
                        recovered: &recovered,
                        failed: &failed,
                        dead: &dead,
                    };
                    DB::settle(conn, &home, &settlement).await
                })
            });
            let settled = settled.await;
            Done::Settled(batch, settled)
        });
    }

    pub(super) fn settled(
        &mut self,
        batch: Batch,
        settled: Result<bool, StatementError>,
    ) -> Result<(), RelayError> {
        self.settling.is_running = false;
        let now = Instant::now();
        let is_owner = match settled {
            Ok(is_owner) => is_owner,
            Err(failure) => {
                self.settling.failures += 1;
                let all = &mut self.settling.batch;
                all.confirmed.splice(..0, batch.confirmed);
                all.failed.splice(..0, batch.failed);
                all.dead.splice(..0, batch.dead);
                return self.refused("deleting published events", failure);
            }
        };
        self.outage.is_over();
        self.settling.failures = 0;
        self.stats.published += batch.confirmed.len() as u64;
        let topics = batch.confirmed.iter().map(|left| &left.topic);
        telemetry::published(&self.options.target, topics);
        for left in &batch.confirmed {
            self.lanes.settled(left.place, left.shard);
            self.reading.full.settled(left.place.id);
        }
        if is_owner {
            self.stats.dead_lettered += batch.dead.len() as u64;
            let topics = batch.dead.iter().map(|dead| &dead.topic);
            telemetry::dead_lettered(&self.options.target, topics);
        } else {
            tracing::warn!(
                target_name = self.options.target,
                "another relay has taken over this relay's share of some failed events: their attempts and dead letters \
                 were not written, and that relay tries them again"
            );
            self.ownership_lost();
        }
        let burying = if batch.dead.is_empty() {
            Vec::new()
        } else {
            self.lanes.burying()
        };
        for Burial {
            letter,
            holds_queue,
            ..
        } in batch.dead
        {
            self.reading.full.settled(letter.place.id);
            if !holds_queue {
                self.lanes.settled(letter.place, letter.shard);
                if !is_owner {
                    // It is in the outbox still, and may be this relay's again by now.
                    self.reading.restart();
                }
                continue;
            }
            let queue = burying.iter().find(|(_, place)| *place == letter.place);
            if let Some((lane, _)) = queue {
                self.lanes.buried(*lane, is_owner, now);
            }
        }
        Ok(())
    }
}

fn take<T>(all: &mut Vec<T>) -> Vec<T> {
    if all.len() <= MOST {
        return std::mem::take(all);
    }
    all.drain(..MOST).collect()
}
