//! Calls of a publisher, one step at a time.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use rand::Rng as _;
use tokio::time::Instant;

use super::history::{EventNumber, Kind};
use super::scene::Scene;
use crate::publisher::{PublishError, Report};
use crate::relay::calls::NoVerdict;

pub(super) const PUBLISH_TIMEOUT: Duration = Duration::from_millis(300);

/// What a relay has not heard yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) reports: VecDeque<Report>,
    pub(super) ended: VecDeque<(u64, NoVerdict)>,
}

#[derive(Debug)]
pub(super) struct Running {
    batch: u64,
    messages: Vec<Sent>,
    habit: Habit,
    /// Nothing is sent before.
    begins: Instant,
    /// The relay heard that the call ended; the batch may live on.
    has_ended: bool,
    is_unavailable: bool,
}

#[derive(Debug)]
struct Sent {
    event: EventNumber,
    key: Option<u8>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Pending,
    /// The publisher knows, and has not said it.
    Known(Result<(), PublishError>),
    Done {
        stops_key: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Plain,
    /// Sends nothing until it is dropped.
    Hangs,
    /// Blocks its thread, past its deadline.
    Blocks,
    /// Returns at once, and its batch lives in another task.
    Moves,
}

/// What happened, for the log.
pub(super) enum Did {
    Nothing,
    /// To this event. Whether the broker got it, and in its place.
    Sent(EventNumber, Option<bool>),
    Said(EventNumber),
    Ended(&'static str),
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Sent(event, None) => write!(f, "event {event} fails"),
            Self::Sent(event, Some(true)) => write!(f, "the broker got event {event}"),
            Self::Sent(event, Some(false)) => write!(f, "the broker got event {event} TOO EARLY"),
            Self::Said(event) => write!(f, "verdict on event {event}"),
            Self::Ended(how) => f.write_str(how),
        }
    }
}

impl Running {
    pub(super) fn new(
        batch: u64,
        events: impl Iterator<Item = EventNumber>,
        deadline: Instant,
        scene: &mut Scene,
    ) -> Self {
        let habit = match scene.rng.random_range(0..20) {
            0 => Habit::Hangs,
            1 => Habit::Blocks,
            2 => Habit::Moves,
            _ => Habit::Plain,
        };
        let is_slow = habit == Habit::Plain && scene.rng.random_ratio(1, 4);
        let is_late = habit == Habit::Blocks || habit == Habit::Moves && scene.rng.random();
        let late = Duration::from_millis(scene.rng.random_range(0..200));
        Self {
            batch,
            messages: events
                .map(|event| Sent {
                    event,
                    key: scene.history.key(event),
                    stage: Stage::Pending,
                })
                .collect(),
            habit,
            begins: match () {
                () if is_late => deadline + late,
                () if is_slow => scene.now + late,
                () => scene.now,
            },
            has_ended: false,
            is_unavailable: false,
        }
    }

    pub(super) const fn batch(&self) -> u64 {
        self.batch
    }

    /// Whether the call of this batch may be cut short, as it was not given up by its own means.
    /// Whether the relay, which gives up these calls, can drop this one.
    pub(super) fn can_be_dropped(&self, late: &[u64]) -> bool {
        late.contains(&self.batch) && matches!(self.habit, Habit::Plain | Habit::Hangs)
    }

    pub(super) fn drop_batch(&self, inbox: &mut Inbox) {
        let batch = self.batch;
        inbox.reports.push_back(Report::Dropped { batch });
    }

    /// Does something. `true`: it was the last thing.
    pub(super) fn step(&mut self, scene: &mut Scene, inbox: &mut Inbox) -> (bool, Did) {
        if self.habit == Habit::Moves && !self.has_ended {
            self.has_ended = true;
            inbox.ended.push_back((self.batch, NoVerdict::Returned));
            return (false, Did::Ended("moved its batch elsewhere"));
        }
        if self.habit == Habit::Hangs || scene.now < self.begins {
            return (false, Did::Nothing);
        }
        if !scene.is_calm && scene.rng.random_ratio(1, 40) {
            let panics = self.habit == Habit::Plain && scene.rng.random();
            return self.end(inbox, panics);
        }
        let sendable = self.sendable();
        let known = self.messages.iter().enumerate();
        let known: Vec<_> = known
            .filter(|(_, sent)| matches!(sent.stage, Stage::Known(_)))
            .map(|(index, _)| index)
            .collect();
        let choices = sendable.len() + known.len();
        if choices == 0 {
            return self.end(inbox, false);
        }
        let choice = scene.rng.random_range(0..choices);
        if let Some(index) = sendable.get(choice) {
            return (false, self.send(*index, scene));
        }
        let index = known[choice - sendable.len()];
        let sent = &mut self.messages[index];
        let stage = std::mem::replace(&mut sent.stage, Stage::Pending);
        if let Stage::Known(verdict) = stage {
            let stops_key = verdict.as_ref().is_err_and(|error| !error.is_permanent());
            sent.stage = Stage::Done { stops_key };
            let batch = self.batch;
            inbox.reports.push_back(Report::Verdict {
                batch,
                index,
                verdict,
            });
        }
        (false, Did::Said(sent.event))
    }

    fn end(&self, inbox: &mut Inbox, panics: bool) -> (bool, Did) {
        let batch = self.batch;
        inbox.reports.push_back(Report::Dropped { batch });
        let (how, what) = if panics {
            (NoVerdict::Panicked, "panicked")
        } else {
            (NoVerdict::Returned, "returned")
        };
        if !self.has_ended {
            inbox.ended.push_back((batch, how));
        }
        (true, Did::Ended(what))
    }

    /// The messages that may be sent now: of each key the first that was not, unless one before it
    /// failed.
    fn sendable(&self) -> Vec<usize> {
        let mut sendable = Vec::new();
        if self.is_unavailable {
            return sendable;
        }
        let mut held = BTreeSet::new();
        for (index, sent) in self.messages.iter().enumerate() {
            if sent.key.is_some_and(|key| held.contains(&key)) {
                continue;
            }
            let holds = match &sent.stage {
                Stage::Pending => {
                    sendable.push(index);
                    true
                }
                Stage::Known(verdict) => verdict.as_ref().is_err_and(|error| !error.is_permanent()),
                Stage::Done { stops_key } => *stops_key,
            };
            held.extend(sent.key.filter(|_| holds));
        }
        sendable
    }

    fn send(&mut self, index: usize, scene: &mut Scene) -> Did {
        let sent = &mut self.messages[index];
        let event = sent.event;
        if scene.history.kind(event) == Kind::Poison {
            sent.stage = Stage::Known(Err(PublishError::permanent("never")));
            return Did::Sent(event, None);
        }
        let fails = !scene.is_calm && scene.rng.random_range(0..100) < scene.style.failures;
        let kind = if fails {
            scene.rng.random_range(1..6)
        } else {
            0
        };
        let (arrives, stage) = match kind {
            0 => (true, Stage::Known(Ok(()))),
            1 => (true, Stage::Known(Err(PublishError::retryable("unsure")))),
            2 => (true, Stage::Done { stops_key: true }),
            3 | 4 => (false, Stage::Known(Err(PublishError::retryable("busy")))),
            _ => {
                self.is_unavailable = true;
                let down = PublishError::unavailable("down");
                (false, Stage::Known(Err(down)))
            }
        };
        sent.stage = stage;
        Did::Sent(event, arrives.then(|| scene.history.publish(event)))
    }
}
