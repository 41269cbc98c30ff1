//! A process with a relay, as thin as can be around what is real: the cursor, the queues, the calls
//! and the plan. It does what the worker does, in the same order, one step at a time.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::Instant;
use uuid::Uuid;

use super::broker::{Did, Inbox, PUBLISH_TIMEOUT, Running};
use super::database::{Batch, Database};
use super::membership::Membership;
use super::progress::Reading;
use super::rule::Rule;
use super::scene::Scene;
use super::statement::{Answer, Answered, Ask, Flight};
use crate::publisher::Report;
use crate::relay::calls::{Calls, Step};
use crate::relay::lanes::{Amount, Lanes};

/// How long statements wait after one that failed.
const OUTAGE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Running,
    Frozen,
    Stopping,
    /// Killed. What it sent is still on its way.
    Gone,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) number: usize,
    pub(super) owner: Uuid,
    pub(super) rule: Rule,
    pub(super) condition: Condition,
    pub(super) membership: Membership,
    pub(super) reading: Reading,
    pub(super) lanes: Lanes,
    pub(super) calls: Calls,
    pub(super) pause: Option<Instant>,
    pub(super) unsettled: Batch,
    pub(super) is_settling: bool,
    pub(super) outage: Option<Instant>,
    pub(super) flights: Vec<Flight>,
    pub(super) running: Vec<Running>,
    pub(super) inbox: Inbox,
}

impl Process {
    pub(super) fn new(number: usize, rule: Rule, now: Instant) -> Self {
        let owner = Uuid::from_u128(number as u128 + 1);
        Self {
            number,
            owner,
            rule,
            condition: Condition::Running,
            membership: Membership::new(owner, now),
            reading: Reading::new(now),
            lanes: Lanes::default(),
            calls: Calls::default(),
            pause: None,
            unsettled: Batch::default(),
            is_settling: false,
            outage: None,
            flights: Vec::new(),
            running: Vec::new(),
            inbox: Inbox::default(),
        }
    }

    pub(super) fn is_living(&self) -> bool {
        self.condition != Condition::Gone
    }

    pub(super) fn works(&self) -> bool {
        matches!(self.condition, Condition::Running | Condition::Stopping)
    }

    pub(super) fn ask(&mut self, ask: Ask) {
        let answer = Answered::NotYet;
        self.flights.push(Flight { ask, answer });
    }

    pub(super) fn is_out(&self, now: Instant) -> bool {
        self.outage.is_some_and(|until| until > now)
    }

    /// Starts everything that can run now.
    pub(super) fn start(&mut self, scene: &mut Scene) {
        self.lanes.wake(scene.now);
        let is_stopping = self.condition == Condition::Stopping;
        if !is_stopping {
            self.start_membership(scene);
            self.start_reading(scene.now);
            self.start_publishing(scene);
        }
        self.start_settling(scene.now);
    }

    /// Whether a relay that was asked to stop has done so.
    pub(super) fn is_over(&self) -> bool {
        self.condition == Condition::Stopping && self.calls.open() == 0 && self.is_settled()
    }

    pub(super) fn is_settled(&self) -> bool {
        !self.is_settling && self.unsettled.is_empty()
    }

    /// One thing that the worker's loop waits for.
    pub(super) fn turn(&mut self, scene: &mut Scene) {
        self.start(scene);
        let answered = self
            .flights
            .iter()
            .enumerate()
            .filter(|(_, flight)| flight.is_answered());
        let answered: Vec<_> = answered.map(|(at, _)| at).collect();
        let mut steps = Vec::new();
        match scene.rng.random_range(0..4) {
            0 | 1 if !answered.is_empty() => {
                let at = answered[scene.rng.random_range(0..answered.len())];
                let flight = self.flights.swap_remove(at);
                self.take_in(flight, scene);
            }
            0 | 2 => {
                let reports = self.inbox.reports.len();
                let count = scene.rng.random_range(0..=reports);
                self.hear(count, &mut steps, scene);
            }
            1 | 3 if !self.inbox.ended.is_empty() => {
                self.hear(self.inbox.reports.len(), &mut steps, scene);
                if let Some((batch, how)) = self.inbox.ended.pop_front() {
                    self.calls.ended(batch, how, &mut steps);
                    self.follow(&mut steps, scene);
                }
            }
            _ => self.time(scene),
        }
    }

    /// Whether something that it sent may still have an effect.
    pub(super) fn is_on_its_way(&self) -> bool {
        let asked = self.flights.iter().any(|flight| !flight.is_answered());
        asked || !self.running.is_empty()
    }

    /// Whether nothing is left in memory, and no count of it.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_living()
            || self.is_settled()
                && self.calls.open() == 0
                && self.lanes.is_empty()
                && self.lanes.loaded() == Amount::default()
                && self.lanes.busy().is_empty()
    }

    /// Does all that can be done now.
    pub(super) fn finish(&mut self, database: &mut Database, scene: &mut Scene) {
        if self.is_living() {
            self.turn_all(scene);
        }
        while self.flights.iter().any(|flight| !flight.is_answered()) {
            self.execute(database, scene);
        }
        for _ in 0..4 * self.running.len() {
            self.publish(scene);
        }
    }

    /// Takes in all there is.
    fn turn_all(&mut self, scene: &mut Scene) {
        self.start(scene);
        while let Some(at) = (self.flights.iter()).position(Flight::is_answered) {
            let flight = self.flights.remove(at);
            self.take_in(flight, scene);
        }
        let mut steps = Vec::new();
        self.hear(self.inbox.reports.len(), &mut steps, scene);
        while let Some((batch, how)) = self.inbox.ended.pop_front() {
            self.calls.ended(batch, how, &mut steps);
            self.follow(&mut steps, scene);
        }
        self.time(scene);
    }

    /// What the worker does when its timer ends.
    fn time(&mut self, scene: &mut Scene) {
        let mut steps = Vec::new();
        let late = self.calls.give_up_late(scene.now, &mut steps);
        self.follow(&mut steps, scene);
        self.lanes.wake(scene.now);
        let inbox = &mut self.inbox;
        self.running.retain(|call| {
            let is_dropped = call.can_be_dropped(&late);
            if is_dropped {
                call.drop_batch(inbox);
            }
            !is_dropped
        });
    }

    fn hear(&mut self, count: usize, steps: &mut Vec<Step>, scene: &mut Scene) {
        for report in self.inbox.reports.drain(..count) {
            match report {
                Report::Verdict {
                    batch,
                    index,
                    verdict,
                } => {
                    let until = scene.now + PUBLISH_TIMEOUT;
                    self.calls.verdict(batch, index, verdict, until, steps);
                }
                Report::Dropped { batch } => self.calls.dropped(batch, steps),
            }
        }
        self.follow(steps, scene);
    }

    /// One step of one call of the publisher.
    pub(super) fn publish(&mut self, scene: &mut Scene) {
        if self.running.is_empty() {
            return;
        }
        let at = scene.rng.random_range(0..self.running.len());
        let call = &mut self.running[at];
        let (is_last, did) = call.step(scene, &mut self.inbox);
        let (number, batch) = (self.number, call.batch());
        if is_last {
            self.running.swap_remove(at);
        }
        if !matches!(did, Did::Nothing) {
            scene.note(|| format!("relay {number}: call {batch}: {did}"));
        }
    }

    /// The database executes a statement that was asked.
    pub(super) fn execute(&mut self, database: &mut Database, scene: &mut Scene) {
        let asked = self.flights.iter().enumerate();
        let asked: Vec<_> = asked
            .filter(|(_, flight)| !flight.is_answered())
            .map(|(at, _)| at)
            .collect();
        if asked.is_empty() {
            return;
        }
        let at = asked[scene.rng.random_range(0..asked.len())];
        let fate = if scene.is_calm {
            0
        } else {
            scene.rng.random_range(0..40)
        };
        let (number, owner) = (self.number, self.owner);
        let flight = &mut self.flights[at];
        if fate == 39 {
            flight.answer = Answered::Failed;
            scene.note(|| format!("relay {number}: {:?} fails", flight.ask));
            return;
        }
        let Some(answer) = flight.ask.execute(self.rule, owner, database, scene) else {
            return;
        };
        scene.note(|| format!("relay {number}: {:?} brings {answer:?}", flight.ask));
        // The answer may be lost.
        flight.answer = if fate == 38 {
            Answered::Failed
        } else {
            Answered::With(answer)
        };
    }

    fn take_in(&mut self, flight: Flight, scene: &mut Scene) {
        let number = self.number;
        let answer = match flight.answer {
            Answered::With(answer) => Some(answer),
            Answered::NotYet | Answered::Failed => None,
        };
        if answer.is_none() {
            self.outage = Some(scene.now + OUTAGE);
        } else {
            self.outage = None;
        }
        scene.note(|| format!("relay {number}: takes in {:?}", flight.ask));
        match (flight.ask, answer) {
            (Ask::Look { generation, .. }, answer) => {
                let look = answer.map(|answer| match answer {
                    Answer::Look(look) => look,
                    other => unreachable!("{other:?}"),
                });
                self.looked(generation, look, scene);
            }
            (Ask::GiveUp(never), Some(_)) => self.reading.cursor.give_up(&never),
            (Ask::Read(wanted), Some(Answer::Read(found))) => {
                self.reading.is_rereading = false;
                for gone in self.lanes.reloaded(&wanted, found, scene.now) {
                    self.reading.settled(gone.id);
                }
            }
            (Ask::Read(wanted), _) => {
                self.reading.is_rereading = false;
                self.lanes.want_again(wanted);
            }
            (Ask::Places { generation, .. }, answer) => {
                let places = answer.map(|answer| match answer {
                    Answer::Places(places) => places,
                    other => unreachable!("{other:?}"),
                });
                self.full_look(generation, places, scene);
            }
            (Ask::Settle(batch), answer) => {
                let settled = answer.map(|answer| matches!(answer, Answer::Settled(true)));
                self.settled(batch, settled, scene.now);
            }
            (Ask::Coordinate { asked, .. }, Some(Answer::Coordinated(plan))) => {
                self.coordinated(asked, &plan, scene.now);
            }
            (Ask::Members, Some(Answer::Members(members))) => self.members_seen(&members),
            (Ask::Members, _) => self.membership.is_asking = false,
            (Ask::Coordinate { .. }, _) => {
                self.membership.is_asking = false;
                self.membership.is_due = true;
            }
            (Ask::GiveUp(_), None) => {}
        }
    }
}
