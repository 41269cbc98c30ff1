//! The full look: now and then the whole outbox is compared with what this relay knows. It finds
//! events that the cursor can't: those that came in below it, against the order of the sequence.

use super::state::Worker;
use super::state::full_look::{PAGE, PAUSE, SHARE};
use super::state::task::Done;
use crate::publisher::Publisher;
use crate::relay::error::RelayError;
use crate::shard::ShardSet;
use crate::statement::{StatementError, on_connection};
use crate::store::{OutboxStore, Place, Selection};
use crate::telemetry::relay as telemetry;
use tokio::time::Instant;

impl<DB: OutboxStore, P: Publisher> Worker<DB, P> {
    pub(super) fn start_full_look(&mut self, shards: ShardSet, now: Instant) {
        let up_to = self.reading.cursor.position();
        let full = &mut self.reading.full;
        if full.is_running || now < full.next || up_to == 0 {
            return;
        }
        full.is_running = true;
        full.begun = now;
        full.after = 0;
        full.up_to = up_to;
        full.settled.clear();
        full.surprises = 0;
        self.read_places(shards);
    }

    fn read_places(&mut self, shards: ShardSet) {
        let Some(home) = self.membership.home() else {
            return;
        };
        let full = &self.reading.full;
        let (generation, after, up_to) = (full.generation, full.after, full.up_to);
        let (pool, options, limit) = (
            self.pool.clone(),
            self.options.clone(),
            self.options.statement_limit(),
        );
        self.tasks.spawn(async move {
            let places = on_connection(&pool, limit, |conn| {
                Box::pin(async move {
                    let selection = Selection {
                        shards,
                        topics: &options.topics,
                    };
                    DB::places(conn, &home, &selection, after, up_to, PAGE).await
                })
            });
            Done::Places(generation, places.await)
        });
    }

    /// Compares what is in the outbox with what this relay knows.
    pub(super) fn full_look(
        &mut self,
        generation: u64,
        places: Result<Vec<Place>, StatementError>,
    ) -> Result<(), RelayError> {
        if generation != self.reading.full.generation {
            return Ok(());
        }
        let places = match places {
            Ok(places) => places,
            Err(failure) => {
                self.reading.full.is_running = false;
                self.reading.full.next = Instant::now() + PAUSE;
                return self.refused("reading the outbox", failure);
            }
        };
        let unknown = places.iter().filter(|place| {
            !self.lanes.knows(place)
                && !self.reading.full.settled.contains(&place.id)
                && !self.reading.cursor.expects(place.seq)
        });
        let unknown = unknown.count() as u64;
        let now = Instant::now();
        let full = &mut self.reading.full;
        full.surprises += unknown;
        if let Some(last) = places.last().filter(|_| places.len() >= PAGE as usize) {
            full.after = last.seq;
            let shards = self.membership.shards(now);
            self.read_places(shards);
            return Ok(());
        }
        full.is_running = false;
        let took = now.saturating_duration_since(full.begun);
        telemetry::compared(&self.options.target, took);
        full.next = now + (took * SHARE).max(PAUSE);
        if full.surprises > 0 {
            tracing::warn!(
                target_name = self.options.target,
                events = full.surprises,
                "the outbox has events below numbers that were read already: the sequence of idem_outbox was reset, or \
                 rows were inserted by hand. They are published now, so events of one key may come out of order this once"
            );
            self.reading.restart();
        }
        Ok(())
    }
}
