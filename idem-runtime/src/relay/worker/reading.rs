//! From the outbox into the queues.

use super::state::Worker;
use super::state::reading::{End, Looking, MOST_HELD};
use super::state::task::Done;
use crate::publisher::Publisher;
use crate::relay::error::RelayError;
use crate::relay::lanes::{Amount, LaneId};
use crate::relay::options::LOOK;
use crate::shard::ShardSet;
use crate::statement::{StatementError, on_connection};
use crate::store::{
    FoundEvent, FoundRow, Limit, Look, LookArgs, OutboxStore, Place, Selection, SeqRange,
};
use crate::telemetry::relay as telemetry;
use tokio::time::Instant;

impl<DB: OutboxStore, P: Publisher> Worker<DB, P> {
    pub(super) fn start_reading(&mut self, now: Instant) {
        let shards = self.membership.shards(now);
        if self.outage.is_on(now) {
            return;
        }
        self.start_rereading();
        if shards.is_empty() {
            self.start_asking(now);
            return;
        }
        self.start_look(shards, now);
        self.start_full_look(shards, now);
        self.start_asking(now);
    }

    fn start_look(&mut self, shards: ShardSet, now: Instant) {
        let is_due = self.reading.look == Looking::Not && now >= self.reading.next_look;
        if is_due && !shards.is_empty() && !self.is_stopping() && self.has_room() {
            self.look(shards, now);
        }
    }

    /// How much more may be in memory.
    fn room(&self) -> (usize, usize) {
        let (most, loaded, arriving) = (
            self.options.in_hand,
            self.lanes.loaded(),
            self.reading.arriving,
        );
        let events = loaded.events + arriving.events + self.settling.len();
        (
            most.events.saturating_sub(events),
            most.bytes.saturating_sub(loaded.bytes + arriving.bytes),
        )
    }

    /// Whether a look is worth its while.
    fn has_room(&self) -> bool {
        let (events, bytes) = self.room();
        let most = self.options.in_hand;
        events >= LOOK.min(most.events / 2).max(1)
            && bytes >= most.bytes / 4
            && self.lanes.len() < MOST_HELD
    }

    fn look(&mut self, shards: ShardSet, now: Instant) {
        let Some(home) = self.membership.home() else {
            return;
        };
        let (events, bytes) = self.room();
        self.reading.look = Looking::Now;
        self.reading.looked_at = now;
        let cursor = self.reading.cursor.position();
        let unseen = self.reading.cursor.unseen();
        let with_attempts = cursor < self.reading.attempts_up_to;
        let limit = Limit {
            events: u32::try_from(events.min(LOOK)).unwrap_or(u32::MAX),
            bytes: bytes as u64,
        };
        let generation = self.reading.generation;
        let (pool, options, time) = (
            self.pool.clone(),
            self.options.clone(),
            self.options.statement_limit(),
        );
        self.tasks.spawn(async move {
            let look = on_connection(&pool, time, |conn| {
                Box::pin(async move {
                    let args = LookArgs {
                        target: &options.target,
                        selection: Selection {
                            shards,
                            topics: &options.topics,
                        },
                        cursor,
                        unseen: &unseen,
                        limit,
                        with_attempts,
                    };
                    DB::look(conn, &home, &args).await
                })
            });
            Done::Look(generation, look.await)
        });
    }

    pub(super) fn looked(
        &mut self,
        generation: u64,
        look: Result<Look, StatementError>,
    ) -> Result<(), RelayError> {
        let is_woken = self.reading.look == Looking::NowAndAgain;
        self.reading.look = Looking::Not;
        let look = match look {
            Ok(look) => look,
            Err(failure) => return self.refused("reading the outbox", failure),
        };
        self.outage.is_over();
        if generation != self.reading.generation {
            return Ok(());
        }
        let now = Instant::now();
        self.reading.took = now.saturating_duration_since(self.reading.looked_at);
        telemetry::looked(&self.options.target, self.reading.took);
        let found: Vec<i64> = look.rows.iter().map(|row| row.seq).collect();
        let passed = self.reading.cursor.saw(&found, look.horizon);
        if !passed.is_empty() {
            self.give_up(passed);
        }
        if self.reading.attempts_up_to == i64::MAX && !look.more {
            // Everything above has never been in another relay's hands.
            self.reading.attempts_up_to = self.reading.cursor.position();
        }
        let found_any = !found.is_empty();
        if !found_any && self.reading.end == End::Unknown {
            self.reading.end = End::Near;
        }
        self.reading.next_look = if look.more {
            now
        } else if found_any || is_woken {
            self.reading.soon()
        } else {
            now + self.options.poll_interval
        };
        // The server makes the next ones while these are put into their queues.
        self.reading.arriving = amount(&look.rows);
        self.start_look(self.membership.shards(now), now);
        self.reading.arriving = Amount::default();
        self.arrive(look.rows, now);
        Ok(())
    }

    fn arrive(&mut self, rows: Vec<FoundRow>, now: Instant) {
        let shards = self.membership.selected();
        let source = self.source();
        let most_loaded =
            (self.options.in_hand.events / 16).max(self.options.batch.events.min(100));
        for event in rows.into_iter().filter_map(|row| row.event) {
            // The shards may have changed since the look began. That the lease has ended meanwhile is
            // no reason to drop an event: the cursor has passed it.
            if shards.contains(event.shard) {
                let event = with_source(event, &source);
                self.lanes.arrive(event, now, most_loaded);
            }
        }
    }

    fn source(&self) -> String {
        let named = self.options.source.clone();
        named
            .or_else(|| Some(self.membership.home()?.source()))
            .unwrap_or_default()
    }

    fn give_up(&mut self, missing: Vec<SeqRange>) {
        if !DB::ASKS_FOR_MISSING {
            self.reading.cursor.give_up(&missing);
            return;
        }
        let Some(home) = self.membership.home() else {
            return;
        };
        let (pool, limit) = (self.pool.clone(), self.options.statement_limit());
        self.tasks.spawn(async move {
            let never = on_connection(&pool, limit, |conn| {
                Box::pin(async move { DB::never_committed(conn, &home, &missing).await })
            });
            Done::GivenUp(never.await)
        });
    }

    pub(super) fn given_up(
        &mut self,
        never: Result<Vec<SeqRange>, StatementError>,
    ) -> Result<(), RelayError> {
        match never {
            Ok(never) => self.reading.cursor.give_up(&never),
            Err(failure) => return self.refused("reading the outbox", failure),
        }
        Ok(())
    }

    /// Reads messages again of which only the number was kept.
    fn start_rereading(&mut self) {
        let (events, bytes) = self.room();
        if self.reading.is_rereading || events == 0 || bytes == 0 {
            return;
        }
        let wanted = self.lanes.take_wanted(Amount {
            events: events.min(self.options.batch.events),
            bytes: bytes.min(self.options.batch.bytes),
        });
        let Some(home) = self.membership.home() else {
            return;
        };
        if wanted.is_empty() {
            return;
        }
        self.reading.is_rereading = true;
        let (pool, limit) = (self.pool.clone(), self.options.statement_limit());
        self.tasks.spawn(async move {
            let mut places: Vec<Place> = wanted.iter().map(|(_, place)| *place).collect();
            places.sort_unstable();
            let found = on_connection(&pool, limit, |conn| {
                Box::pin(async move { DB::read(conn, &home, &places).await })
            });
            let found = found.await;
            Done::Read(wanted, found)
        });
    }

    pub(super) fn read_again(
        &mut self,
        wanted: Vec<(LaneId, Place)>,
        found: Result<Vec<FoundEvent>, StatementError>,
    ) -> Result<(), RelayError> {
        self.reading.is_rereading = false;
        match found {
            Ok(found) => {
                let source = self.source();
                let found = found.into_iter().map(|event| with_source(event, &source));
                let gone = self
                    .lanes
                    .reloaded(&wanted, found.collect(), Instant::now());
                for place in gone {
                    self.reading.full.settled(place.id);
                }
                Ok(())
            }
            Err(failure) => {
                self.lanes.want_again(wanted);
                self.refused("reading the outbox", failure)
            }
        }
    }

    /// A job asks whether anything is left, when it sees nothing.
    fn start_asking(&mut self, now: Instant) {
        if self.until != super::state::Until::Empty || !self.lanes.is_empty() {
            return;
        }
        let waits_for_others = self.membership.shards(now).is_empty();
        let is_due = match self.reading.end {
            End::Near => true,
            End::Unknown => waits_for_others && now >= self.reading.next_look,
            End::Asking | End::Reached => false,
        };
        if !is_due {
            return;
        }
        let Some(home) = self.membership.home() else {
            return;
        };
        self.reading.end = End::Asking;
        let (pool, options, limit) = (
            self.pool.clone(),
            self.options.clone(),
            self.options.statement_limit(),
        );
        self.tasks.spawn(async move {
            let has = on_connection(&pool, limit, |conn| {
                Box::pin(async move { DB::has_events(conn, &home, &options.topics).await })
            });
            Done::HasEvents(has.await)
        });
    }

    pub(super) fn has_events(
        &mut self,
        has: Result<bool, StatementError>,
    ) -> Result<(), RelayError> {
        self.reading.end = End::Unknown;
        match has {
            Ok(false) => {
                self.reading.end = End::Reached;
                Ok(())
            }
            Ok(true) => {
                if self.membership.shards(Instant::now()).is_empty() {
                    self.reading.next_look = Instant::now() + self.options.poll_interval;
                }
                Ok(())
            }
            Err(failure) => self.refused("reading the outbox", failure),
        }
    }
}

/// What rows hold that were not put into their queues yet.
fn amount(rows: &[FoundRow]) -> Amount {
    let sizes = rows.iter().filter_map(|row| Some(row.event.as_ref()?.size));
    Amount {
        events: sizes.clone().count(),
        bytes: sizes.sum(),
    }
}

fn with_source(mut event: FoundEvent, source: &str) -> FoundEvent {
    if let Ok(message) = &mut event.message {
        source.clone_into(&mut message.source);
    }
    event
}
