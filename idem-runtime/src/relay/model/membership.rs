//! Which shards are a relay's.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::database::Database;
use crate::relay::plan::{Me, Plan, plan};
use crate::shard::ShardSet;
use crate::store::{self, Changes, Member, Topics};

pub(super) const LEASE: Duration = Duration::from_secs(1);
const CHECK_EVERY: Duration = Duration::from_millis(60);

#[derive(Debug)]
pub(super) struct Membership {
    me: Me,
    pub(super) owned: ShardSet,
    pub(super) leaving: ShardSet,
    pub(super) until: Option<Instant>,
    pub(super) has_session: bool,
    pub(super) next_check: Instant,
    pub(super) is_asking: bool,
    pub(super) is_due: bool,
}

fn me(owner: Uuid) -> Me {
    Me {
        target: "default".into(),
        owner,
        topics: Topics::default(),
    }
}

impl Membership {
    pub(super) fn new(owner: Uuid, now: Instant) -> Self {
        Self {
            me: me(owner),
            owned: ShardSet::NONE,
            leaving: ShardSet::NONE,
            until: None,
            has_session: true,
            next_check: now,
            is_asking: false,
            is_due: true,
        }
    }

    /// The shards whose events may be published now.
    pub(super) fn shards(&self, now: Instant) -> ShardSet {
        match self.until {
            Some(until) if now < until && self.has_session => self.selected(),
            _ => ShardSet::NONE,
        }
    }

    /// The shards whose events are in the queues, whatever the clock says.
    pub(super) fn selected(&self) -> ShardSet {
        self.owned.without(self.leaving)
    }

    pub(super) fn renewal(&self) -> Option<Instant> {
        Some(self.until? - LEASE.mul_f32(2.0 / 3.0))
    }

    pub(super) fn plan(&self, members: &[Member], busy: ShardSet) -> Plan {
        plan(members, &self.me, busy)
    }

    pub(super) fn check_again(&mut self, from: Instant) {
        self.next_check = from + CHECK_EVERY;
    }

    pub(super) fn session_lost(&mut self) {
        self.has_session = false;
        self.until = None;
    }
}

/// One relay at a time decides.
pub(super) fn coordinate(
    owner: Uuid,
    busy: ShardSet,
    database: &mut Database,
    now: Instant,
) -> Plan {
    let mut decided = Plan::default();
    database.coordinate(now, |members| {
        decided = plan(members, &me(owner), busy);
        Changes {
            remove: decided.remove.clone(),
            put: Some(store::Membership {
                target: "default".into(),
                owner,
                session: None,
                topics: Topics::default(),
                shards: decided.owned,
                lease: LEASE,
            }),
        }
    });
    decided
}

/// Leaves the table of relays.
pub(super) fn leave(owner: Uuid, database: &mut Database, now: Instant) {
    database.coordinate(now, |_| Changes {
        remove: vec![owner],
        put: None,
    });
}
