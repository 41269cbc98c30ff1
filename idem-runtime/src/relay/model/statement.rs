//! The statements of a relay.

use tokio::time::Instant;
use uuid::Uuid;

use super::database::{Batch, Database, LookAsk};
use super::membership::coordinate;
use super::rule::Rule;
use super::scene::Scene;
use crate::relay::lanes::LaneId;
use crate::relay::plan::Plan;
use crate::shard::ShardSet;
use crate::store::{FoundEvent, Look, Member, Place, SeqRange};

/// How many numbers one statement of a full look reads.
pub(super) const FULL_LOOK: usize = 4;

/// A statement: asked, then executed, then its answer taken in.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) ask: Ask,
    pub(super) answer: Answered,
}

#[derive(Debug)]
pub(super) enum Answered {
    NotYet,
    /// As far as the relay can know.
    Failed,
    With(Answer),
}

impl Flight {
    pub(super) const fn is_answered(&self) -> bool {
        !matches!(self.answer, Answered::NotYet)
    }
}

#[derive(Debug)]
pub(super) enum Ask {
    Look {
        generation: u64,
        ask: LookAsk,
        /// What a first statement of two brought.
        first: Option<Look>,
    },
    GiveUp(Vec<SeqRange>),
    Read(Vec<(LaneId, Place)>),
    Places {
        generation: u64,
        shards: ShardSet,
        after: i64,
        up_to: i64,
    },
    Settle(Batch),
    Members,
    Coordinate {
        asked: Instant,
        busy: ShardSet,
    },
}

#[derive(Debug)]
pub(super) enum Answer {
    Look(Look),
    GivenUp,
    Read(Vec<FoundEvent>),
    Places(Vec<Place>),
    Settled(bool),
    Members(Vec<Member>),
    Coordinated(Plan),
}

impl Ask {
    /// `None`: another statement is to follow.
    pub(super) fn execute(
        &mut self,
        rule: Rule,
        owner: Uuid,
        database: &mut Database,
        scene: &mut Scene,
    ) -> Option<Answer> {
        let now = scene.now;
        Some(match self {
            Ask::Look { ask, first, .. }
                if rule == Rule::TwoSnapshots && !ask.unseen.is_empty() =>
            {
                // Only the numbers that were jumped over. The next time only what is above.
                let unseen = LookAsk {
                    cursor: i64::MAX - 1,
                    unseen: std::mem::take(&mut ask.unseen),
                    ..*ask
                };
                *first = Some(database.look(&unseen, now));
                return None;
            }
            Ask::Look { ask, first, .. } => {
                let mut look = database.look(ask, now);
                if let Some(first) = first.take() {
                    look.rows.splice(..0, first.rows);
                    look.horizon = first.horizon;
                }
                Answer::Look(look)
            }
            Ask::GiveUp(_) => Answer::GivenUp,
            Ask::Read(wanted) => {
                let mut places: Vec<_> = wanted.iter().map(|(_, place)| *place).collect();
                places.sort_unstable();
                Answer::Read(database.read(&places, now))
            }
            Ask::Places {
                shards,
                after,
                up_to,
                ..
            } => Answer::Places(database.places(*shards, *after, *up_to, FULL_LOOK)),
            Ask::Settle(batch) => {
                Answer::Settled(database.settle(owner, batch, now, &mut scene.history))
            }
            Ask::Members => Answer::Members(database.members(now)),
            Ask::Coordinate { busy, .. } => {
                Answer::Coordinated(coordinate(owner, *busy, database, now))
            }
        })
    }
}
