//! How a relay takes part in the work of several.

use rand::Rng as _;
use tokio::time::Instant;

use super::process::Process;
use super::rule::Rule;
use super::scene::Scene;
use super::statement::Ask;
use crate::relay::plan::Plan;
use crate::shard::ShardSet;
use crate::store::Member;

impl Process {
    pub(super) fn start_membership(&mut self, scene: &mut Scene) {
        let now = scene.now;
        let leaving = self.membership.leaving;
        let can_leave = !leaving.is_empty() && !leaving.without(self.lanes.busy()).is_empty();
        if self.membership.is_asking || self.is_out(now) {
            return;
        }
        let membership = &mut self.membership;
        if !membership.has_session {
            membership.has_session = true;
            membership.is_due = true;
        }
        let is_due = membership.is_due || membership.renewal().is_none_or(|due| now >= due);
        if is_due || can_leave {
            membership.is_asking = true;
            membership.is_due = false;
            // Of most shards the model has no events. Now and then it is as if there were some in hand.
            let has_others = !scene.is_calm && scene.rng.random();
            let busy = if has_others {
                ShardSet::ALL
            } else {
                self.lanes.busy()
            };
            self.ask(Ask::Coordinate { asked: now, busy });
        } else if now >= membership.next_check {
            membership.check_again(now);
            if membership.shards(now) != ShardSet::ALL {
                membership.is_asking = true;
                self.ask(Ask::Members);
            }
        }
    }

    pub(super) fn coordinated(&mut self, asked: Instant, plan: &Plan, now: Instant) {
        self.membership.is_asking = false;
        let before = if plan.is_new {
            self.lanes.lose(ShardSet::ALL);
            self.reading.cancel_full_look();
            ShardSet::NONE
        } else {
            self.membership.selected()
        };
        self.membership.owned = plan.owned;
        self.membership.leaving = plan.leaving;
        self.membership.until = Some(asked + super::membership::LEASE);
        self.membership.check_again(asked);
        let after = self.membership.selected();
        let (lost, gained) = (before.without(after), after.without(before));
        if !lost.is_empty() {
            self.lanes.lose(lost);
        }
        if self.rule != Rule::LostForGood {
            self.lanes.regain(gained);
        }
        self.reading.shards_changed(before, after, now);
    }

    pub(super) fn members_seen(&mut self, members: &[Member]) {
        let busy = self.lanes.busy();
        let membership = &mut self.membership;
        membership.is_asking = false;
        let plan = membership.plan(members, busy);
        membership.is_due |= !plan.remove.is_empty()
            || plan.owned != membership.owned
            || plan.leaving != membership.leaving;
    }
}
