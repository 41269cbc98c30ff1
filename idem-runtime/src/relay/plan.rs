//! Which shards a relay takes. Each relay decides for itself, from the table of relays; a lock in
//! the database lets only one decide at a time.

use std::fmt;

use uuid::Uuid;

use crate::shard::{SHARDS, ShardSet};
use crate::store::{Member, Topics};

/// A relay that looks at the table of relays.
#[derive(Clone, Debug)]
pub(super) struct Me {
    pub(super) target: String,
    pub(super) owner: Uuid,
    pub(super) topics: Topics,
}

/// What a relay does next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Relays that are dead.
    pub(super) remove: Vec<Uuid>,
    /// The shards that are its own now.
    pub(super) owned: ShardSet,
    /// Those among them that it gives up once nothing of them is in hand.
    pub(super) leaving: ShardSet,
    /// Another living relay of the target takes other topics.
    pub(super) is_unlike_others: bool,
    /// Its row was not there. If it had one before, others may have had its shards in between.
    pub(super) is_new: bool,
}

/// Two living targets take one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    pub(super) other: String,
    pub(super) topic: String,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of target {}", self.topic, self.other)
    }
}

/// `busy` are the shards of which something is in hand.
pub(super) fn plan(members: &[Member], me: &Me, busy: ShardSet) -> Plan {
    let others = members
        .iter()
        .filter(|member| member.owner != me.owner && member.target == me.target);
    let living: Vec<_> = others.filter(|member| member.is_alive).collect();
    let taken = living
        .iter()
        .fold(ShardSet::NONE, |all, member| all.union(member.shards));
    // Who found this relay dead has removed its row, and its shards may be somebody else's.
    let row = members.iter().find(|member| member.owner == me.owner);
    let mine = row
        .map_or(ShardSet::NONE, |member| member.shards)
        .without(taken);
    let count = u32::try_from(living.len()).unwrap_or(u32::MAX - 1) + 1;
    let fair = u32::from(SHARDS).div_ceil(count);
    let dead = members
        .iter()
        .filter(|member| !member.is_alive && member.owner != me.owner);
    let mut plan = Plan {
        remove: dead.map(|member| member.owner).collect(),
        is_new: row.is_none(),
        is_unlike_others: living.iter().any(|member| member.topics != me.topics),
        ..Plan::default()
    };
    if mine.len() > fair {
        let surplus = mine.len() - fair;
        // What is idle can go at once.
        let idle = mine.without(busy).take(surplus);
        plan.owned = mine.without(idle);
        plan.leaving = plan.owned.take(surplus - idle.len());
    } else {
        let free = ShardSet::ALL.without(taken).without(mine);
        plan.owned = mine.union(free.take(fair - mine.len()));
    }
    plan
}

/// A living relay of another target that takes a topic of this one.
pub(super) fn overlap(members: &[Member], me: &Me) -> Option<Overlap> {
    let mut others = members
        .iter()
        .filter(|member| member.is_alive && member.target != me.target);
    others.find_map(|member| {
        Some(Overlap {
            topic: me.topics.overlap(&member.topics)?.to_owned(),
            other: member.target.clone(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me(owner: u128) -> Me {
        Me {
            target: "default".into(),
            owner: Uuid::from_u128(owner),
            topics: Topics::default(),
        }
    }

    fn member(owner: u128, shards: ShardSet, is_alive: bool) -> Member {
        Member {
            target: "default".into(),
            owner: Uuid::from_u128(owner),
            topics: Topics::default(),
            shards,
            is_alive,
        }
    }

    /// Each relay decides in turn until nothing changes. Two never own one shard.
    fn settle(members: &mut Vec<Member>, busy: ShardSet) {
        for _ in 0..10 {
            let owners: Vec<_> = members
                .iter()
                .filter(|member| member.is_alive)
                .map(|member| member.owner)
                .collect();
            for owner in owners {
                let plan = plan(members, &me(owner.as_u128()), busy);
                members.retain(|member| !plan.remove.contains(&member.owner));
                for member in members.iter_mut().filter(|member| member.owner == owner) {
                    member.shards = plan.owned;
                }
                let total: u32 = members.iter().map(|member| member.shards.len()).sum();
                let all = members
                    .iter()
                    .fold(ShardSet::NONE, |all, member| all.union(member.shards));
                assert_eq!(all.len(), total, "two own one shard");
            }
        }
    }

    #[test]
    fn one_relay_takes_everything_and_several_share_it() {
        for (count, shares) in [(1, vec![64]), (2, vec![32, 32]), (3, vec![20, 22, 22])] {
            let mut members: Vec<_> = (1..=count)
                .map(|owner| member(owner, ShardSet::NONE, true))
                .collect();
            settle(&mut members, ShardSet::NONE);
            let mut found: Vec<_> = members.iter().map(|member| member.shards.len()).collect();
            found.sort_unstable();
            assert_eq!(found, shares);
        }
    }

    #[test]
    fn a_newcomer_gets_its_share_once_nothing_of_it_is_in_hand() {
        let mut members = vec![
            member(1, ShardSet::ALL, true),
            member(2, ShardSet::NONE, true),
        ];
        let busy = ShardSet::ALL;
        let plan = plan(&members, &me(1), busy);
        assert_eq!((plan.owned, plan.leaving.len()), (ShardSet::ALL, 32));
        settle(&mut members, ShardSet::NONE);
        assert_eq!(members[1].shards.len(), 32);
    }

    #[test]
    fn the_shards_of_the_dead_are_taken_and_its_row_removed() {
        let mut members = vec![
            member(1, ShardSet::ALL.take(32), true),
            member(2, ShardSet::ALL.without(ShardSet::ALL.take(32)), false),
        ];
        settle(&mut members, ShardSet::ALL);
        assert_eq!(members.len(), 1);
        assert_eq!(members[0].shards, ShardSet::ALL);
    }

    #[test]
    fn who_was_taken_for_dead_owns_nothing_any_more() {
        let members = [member(2, ShardSet::ALL, true)];
        assert_eq!(plan(&members, &me(1), ShardSet::ALL).owned, ShardSet::NONE);
    }

    #[test]
    fn other_topics_of_a_living_relay_of_the_target_are_noticed() {
        let mut members = [member(2, ShardSet::ALL, true)];
        assert!(!plan(&members, &me(1), ShardSet::NONE).is_unlike_others);
        members[0].topics = Topics(Some(["a".into()].into()));
        assert!(plan(&members, &me(1), ShardSet::NONE).is_unlike_others);
        members[0].is_alive = false;
        assert!(!plan(&members, &me(1), ShardSet::NONE).is_unlike_others);
    }

    #[test]
    fn targets_are_counted_apart_and_must_not_overlap() {
        let mut audit = member(2, ShardSet::ALL, true);
        audit.target = "audit".into();
        audit.topics = Topics(Some(["a".into()].into()));
        let members = [audit];
        assert_eq!(plan(&members, &me(1), ShardSet::NONE).owned, ShardSet::ALL);
        let found = overlap(&members, &me(1)).map(|overlap| (overlap.other, overlap.topic));
        assert_eq!(found, Some(("audit".into(), "a".into())));
        let mut other = me(1);
        other.topics = Topics(Some(["b".into()].into()));
        assert_eq!(overlap(&members, &other), None);
    }
}
