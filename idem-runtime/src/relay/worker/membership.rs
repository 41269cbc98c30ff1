//! Which shards are this relay's, and how others know that it is alive.

use super::state::Worker;
use super::state::membership::Row;
use super::state::session::HeldSession;
use super::state::task::Done;
use crate::guarded_connection::GuardedConnection;
use crate::publisher::Publisher;
use crate::relay::error::RelayError;
use crate::relay::plan::{Overlap, Plan, overlap, plan};
use crate::shard::ShardSet;
use crate::statement::{StatementError, on_connection, within};
use crate::store::{self, Changes, Home, Member, OutboxStore};
use crate::telemetry::Redacted;
use std::sync::Arc;
use tokio::time::Instant;

impl<DB: OutboxStore, P: Publisher> Worker<DB, P> {
    pub(super) fn start_membership(&mut self, now: Instant) {
        let can_leave = self.can_leave();
        let waits = self.outage.is_on(now);
        let membership = &mut self.membership;
        if membership.is_asking || waits {
            return;
        }
        let is_due = membership.is_due || membership.renewal().is_none_or(|due| now >= due);
        if membership.session.is_none() {
            membership.is_asking = true;
            self.open_session();
        } else if is_due || can_leave {
            self.membership.is_asking = true;
            self.membership.is_due = false;
            self.coordinate(now);
        } else if now >= membership.next_check {
            membership.next_check = now + membership.check_every;
            // A relay that owns everything finds newcomers when it renews its lease.
            if !membership.owns_all(now) {
                membership.is_asking = true;
                self.look_at_members();
            }
        }
    }

    /// Whether a shard that is to be given up has become idle.
    fn can_leave(&self) -> bool {
        let leaving = self.membership.leaving;
        !leaving.is_empty() && !leaving.without(self.lanes.busy()).is_empty()
    }

    fn open_session(&mut self) {
        let (pool, owner, limit) = (
            self.pool.clone(),
            self.owner,
            self.options.statement_limit(),
        );
        self.tasks.spawn(async move {
            let opened = async {
                let (conn, home) = GuardedConnection::at_home(&pool).await?;
                conn.done(Ok(()))?;
                let session = DB::open_session(&pool, &home, owner).await?;
                Ok((home, session))
            };
            Done::Session(within(limit, opened).await)
        });
    }

    pub(super) fn session_opened(
        &mut self,
        opened: Result<(Home, DB::Session), StatementError>,
    ) -> Result<(), RelayError> {
        self.membership.is_asking = false;
        match opened {
            Ok((home, session)) => {
                self.membership.home = Some(Arc::new(home));
                self.membership.session = Some(HeldSession::new(session));
                self.membership.is_due = true;
                Ok(())
            }
            Err(failure) => self.refused("opening a session", failure),
        }
    }

    /// Others see that the session is gone and take over. So nothing is published until the table
    /// has the next one.
    pub(super) fn session_lost(&mut self, error: &sqlx::Error) {
        tracing::warn!(
            target_name = self.options.target,
            error = %Redacted(error),
            "the relay lost its session with the database; it opens another one, and publishes nothing more until then"
        );
        self.membership.session = None;
        self.membership.until = None;
    }

    fn coordinate(&mut self, now: Instant) {
        let busy = self.lanes.busy();
        let limit = self.membership.limit(self.options.statement_limit());
        let pool = self.pool.clone();
        let lease = self.options.lease;
        let me = self.membership.me.clone();
        let is_joining = self.membership.row != Row::Present;
        if is_joining {
            self.membership.row = Row::Unknown;
        }
        let session = self.membership.session.as_ref();
        let session = session.and_then(|session| session.name.clone());
        self.tasks.spawn(async move {
            let coordinated = on_connection(&pool, limit, |conn| {
                Box::pin(async move {
                    let home = DB::find_home(conn).await?;
                    let decided = DB::coordinate(conn, &home, |members| {
                        if is_joining && let Some(overlap) = overlap(members, &me) {
                            return (Changes::default(), Err(overlap));
                        }
                        let plan = plan(members, &me, busy);
                        let changes = Changes {
                            remove: plan.remove.clone(),
                            put: Some(store::Membership {
                                target: me.target,
                                owner: me.owner,
                                session,
                                topics: me.topics,
                                shards: plan.owned,
                                lease,
                            }),
                        };
                        (changes, Ok(plan))
                    });
                    let decided = decided.await?;
                    Ok((home, decided))
                })
            });
            Done::Coordinated(now, coordinated.await)
        });
    }

    pub(super) fn coordinated(
        &mut self,
        asked: Instant,
        decided: Result<(Home, Result<Plan, Overlap>), StatementError>,
    ) -> Result<(), RelayError> {
        self.membership.is_asking = false;
        let (home, plan) = match decided {
            Ok((home, Ok(plan))) => (home, plan),
            Ok((_, Err(overlap))) => {
                self.membership.row = Row::Absent;
                return Err(RelayError::OverlappingTargets {
                    target: self.options.target.clone(),
                    other: overlap.other,
                    topic: overlap.topic,
                });
            }
            Err(failure) => {
                self.membership.is_due = true;
                self.unanswered(&failure);
                return self.refused("taking part in the work", failure);
            }
        };
        self.outage.is_over();
        self.membership.unanswered = 0;
        self.sleeper.listen_to(home.namespace);
        self.membership.row = Row::Present;
        if plan.is_new && plan.is_unlike_others {
            tracing::warn!(
                target_name = self.options.target,
                "another relay of this target takes other topics. Each publishes what it takes of its own share of the \
                 keys, so events may wait until all relays of the target take the same topics"
            );
        }
        let before = if plan.is_new {
            self.lanes.lose(ShardSet::ALL);
            self.reading.full.cancel();
            ShardSet::NONE
        } else {
            self.membership.selected()
        };
        for owner in &plan.remove {
            tracing::info!(
                %owner,
                "another relay has died, or was frozen for longer than its lease; the others of its target take its share"
            );
        }
        if self.membership.owned != plan.owned {
            tracing::info!(
                target_name = self.options.target,
                owner = %self.owner,
                shards = plan.owned.len(),
                "this relay has another share of the 64 shards now"
            );
        }
        let membership = &mut self.membership;
        membership.home = Some(Arc::new(home));
        membership.owned = plan.owned;
        membership.leaving = plan.leaving;
        membership.until = Some(asked + membership.lease);
        membership.next_check = asked + membership.check_every;
        let after = plan.owned.without(plan.leaving);
        let lost = before.without(after);
        if !lost.is_empty() {
            self.lanes.lose(lost);
        }
        self.lanes.regain(after.without(before));
        self.reading.shards_changed(before, after);
        Ok(())
    }

    fn look_at_members(&mut self) {
        let limit = self.membership.limit(self.options.statement_limit());
        let pool = self.pool.clone();
        let Some(home) = self.membership.home() else {
            return;
        };
        self.tasks.spawn(async move {
            let seen = on_connection(&pool, limit, |conn| {
                Box::pin(async move { DB::members(conn, &home).await })
            });
            Done::Members(seen.await)
        });
    }

    /// Takes part at once if that would change anything.
    pub(super) fn members_seen(
        &mut self,
        seen: Result<Vec<Member>, StatementError>,
    ) -> Result<(), RelayError> {
        self.membership.is_asking = false;
        match seen {
            Ok(members) => {
                let plan = plan(&members, &self.membership.me, self.lanes.busy());
                self.membership.is_due |= !plan.remove.is_empty()
                    || plan.owned != self.membership.owned
                    || plan.leaving != self.membership.leaving;
                Ok(())
            }
            Err(failure) => {
                self.unanswered(&failure);
                self.refused("looking for other relays", failure)
            }
        }
    }

    fn unanswered(&mut self, failure: &StatementError) {
        if matches!(failure, StatementError::TimedOut(_)) {
            self.membership.unanswered += 1;
        }
    }

    /// Another relay owned some of what this one wanted to write.
    pub(super) fn ownership_lost(&mut self) {
        self.membership.is_due = true;
    }
}
