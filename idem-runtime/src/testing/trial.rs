//! One run: a delivery that is injured, the deliveries that follow, and what the database holds in between and in the end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Snapshot;
use super::child::Delivery;
use super::fault::{Fault, Injury, Mode};
use super::life::Life;
use super::points::Points;
use super::poll::{catch_panic, drop_at_pending};
use super::subject::{Delivered, Subject};
use super::verdict::{Broken, Clean, judge};
use super::violation::Breach;
use sqlx::ConnectOptions as _;

use crate::store::explorable::Explorable;
use crate::store::lab::{Lab, LabError, Specimen};

/// Deliveries after an injury. A sound handler ends well with the second one; one that met a conflict, with the next.
const DELIVERIES: usize = 6;

/// Deliveries at once.
const TOGETHER: usize = 3;

/// Deliveries of a run that has no other fault.
const IN_A_ROW: usize = 3;

/// The means of a run, the same for all.
pub(crate) struct Bench<'a, S: Subject> {
    pub(crate) subject: &'a S,
    pub(crate) template: &'a <S::Database as Lab>::Template,
    pub(crate) points: &'a Points,
    pub(crate) connections: u32,
    /// How long one delivery may take.
    pub(crate) patience: Duration,
    /// Which exploration of its test this is.
    pub(crate) ordinal: u32,
    /// Columns and tables that may hold anything.
    pub(crate) ignored: &'a [String],
    /// By which this crate tells the pools of a process apart. Kept, so that no pool takes the place of an earlier one, and with it
    /// what that has seen: each run begins as a process does.
    pub(crate) identities: Mutex<Vec<Identity<S>>>,
}

type Identity<S> =
    Arc<<<<S as Subject>::Database as sqlx::Database>::Connection as sqlx::Connection>::Options>;

/// What a run came to.
pub(crate) struct Trial {
    /// Whether the injury's point was reached.
    pub(crate) reached: bool,
    /// The steps of the injured delivery.
    pub(crate) steps: Vec<String>,
    pub(crate) story: Vec<String>,
    pub(crate) broken: Option<Broken>,
}

/// The steps of a delivery without a fault.
pub(crate) struct Steps {
    pub(crate) shown: Vec<String>,
    /// Those at which nothing is left to fail.
    pub(crate) sure: Vec<u64>,
    /// The rows that were written.
    pub(crate) writes: Vec<String>,
}

/// How one delivery went, as seen from outside.
enum Attempt {
    Ended(Delivered),
    /// Nobody was there to see its end.
    Cut,
    TimedOut,
}

impl<S: Subject> Bench<'_, S> {
    /// Starts a process on a copy, through the points or past them.
    pub(crate) async fn life(
        &self,
        specimen: &Specimen,
        through: bool,
    ) -> Result<Life<S>, LabError> {
        let points = through.then_some(self.points);
        let options =
            S::Database::connect_options(self.template, specimen, points.and_then(Points::via));
        let life = Life::start(self.subject, options, self.connections, points)
            .await
            .map_err(LabError::sql("connecting to a copy of the database"))?;
        let mut identities = self
            .identities
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        identities.push(life.pool.connect_options());
        Ok(life)
    }

    pub(crate) async fn snapshot(&self, specimen: &Specimen) -> Result<Snapshot, LabError> {
        let mut snapshot = S::Database::snapshot(self.template, specimen).await?;
        for name in self.ignored {
            if !snapshot.leave_out(name) {
                return Err(LabError::new(format!(
                    "there is no column or table `{name}` to be ignored: write `table.column`, or a table's name"
                )));
            }
        }
        Ok(snapshot)
    }

    /// One run with one fault.
    pub(crate) async fn trial(
        &self,
        clean: &Clean,
        specimen: &Specimen,
        fault: Fault,
    ) -> Result<Trial, LabError> {
        let life = self.life(specimen, true).await?;
        if fault.mode() == Mode::AtOnce {
            life.connect(TOGETHER)
                .await
                .map_err(LabError::sql("connecting to a copy of the database"))?;
        }
        let mut trial = Trial {
            reached: false,
            steps: Vec::new(),
            story: Vec::new(),
            broken: None,
        };
        let mut whole_before = false;
        for number in 1..=DELIVERIES {
            let injury = match number {
                1 => Some(fault.first),
                2 => fault.second,
                _ => None,
            };
            let attempts = match injury {
                Some(Injury {
                    mode: Mode::Killed,
                    point,
                }) => vec![self.killed(specimen, point).await?],
                injury => self.deliver(&life, injury).await,
            };
            // What a handler left to a task of its own belongs to the delivery as well.
            life.rest().await;
            self.points.settle().await;
            if number == 1 {
                trial.reached = self.reached(fault.first, &attempts);
                trial.steps = if fault.mode().is_at_write() {
                    self.points.writes()
                } else {
                    self.points.steps(S::Database::label)
                };
            }
            self.points.disarm();
            if let Some(trouble) = self.points.trouble() {
                return Err(LabError::new(trouble));
            }
            trial.story.push(self.told(number, injury, &attempts));
            let ended = attempts
                .iter()
                .any(|attempt| ended_as(attempt, &clean.ended));
            let found = self.snapshot(specimen).await?;
            if let Some(broken) = judge(
                clean,
                &found,
                ended,
                whole_before || (ended && fault.mode() == Mode::AtOnce),
            ) {
                trial.broken = Some(broken);
                break;
            }
            whole_before |= clean.is_end(&found);
            if attempts
                .iter()
                .any(|attempt| matches!(attempt, Attempt::TimedOut))
            {
                trial.broken = Some(self.unended());
                break;
            }
            let open = S::Database::open_transactions(self.template, specimen).await?;
            if !open.is_empty() {
                trial.broken = Some(Broken::new(Breach::LeftOpen, open));
                break;
            }
            if ended && (fault.mode() != Mode::InARow || number == IN_A_ROW) {
                break;
            }
            if number == DELIVERIES {
                trial.broken = Some(Broken::new(Breach::Stuck, Vec::new()));
            }
        }
        life.end().await;
        if trial.broken.is_none() && trial.reached {
            trial.broken = self
                .deliver_elsewhere(clean, specimen, &mut trial.story)
                .await?;
        }
        Ok(trial)
    }

    /// One delivery without a fault, and its steps.
    pub(crate) async fn deliver_cleanly(&self, life: &Life<S>) -> (Delivered, Steps) {
        self.points.arm(None);
        let attempt = self.once(life).await;
        life.rest().await;
        self.points.settle().await;
        let steps = Steps {
            shown: self.points.steps(S::Database::label),
            sure: self.points.sure(),
            writes: self.points.writes(),
        };
        self.points.disarm();
        let delivered = match attempt {
            Attempt::Ended(delivered) => delivered,
            Attempt::Cut | Attempt::TimedOut => {
                Delivered::Failed(format!("it had not ended after {:?}", self.patience))
            }
        };
        (delivered, steps)
    }

    /// Delivers once, or three times, and does what the injury says.
    async fn deliver(&self, life: &Life<S>, injury: Option<Injury>) -> Vec<Attempt> {
        self.points.arm(injury);
        match injury {
            Some(Injury {
                mode: Mode::AtOnce, ..
            }) => {
                let (a, b, c) = tokio::join!(self.once(life), self.once(life), self.once(life));
                vec![a, b, c]
            }
            Some(Injury {
                mode: Mode::Dropped,
                point,
            }) => {
                let k = usize::try_from(point).unwrap_or(usize::MAX);
                vec![
                    drop_at_pending(k, self.once(life))
                        .await
                        .unwrap_or(Attempt::Cut),
                ]
            }
            Some(Injury {
                mode: Mode::DroppedInside,
                ..
            }) => {
                let attempt = tokio::select! {
                    biased;
                    () = self.points.held() => Attempt::Cut,
                    attempt = self.once(life) => attempt,
                };
                // The future is gone; the statement goes on.
                self.points.disarm();
                vec![attempt]
            }
            _ => vec![self.once(life).await],
        }
    }

    fn reached(&self, injury: Injury, attempts: &[Attempt]) -> bool {
        match injury.mode {
            Mode::Dropped | Mode::Killed => matches!(attempts, [Attempt::Cut]),
            mode if mode.is_at_step() || mode.is_at_write() => self.points.happened(),
            _ => true,
        }
    }

    /// Delivers in a process of its own, and kills that at a step.
    async fn killed(&self, specimen: &Specimen, point: u64) -> Result<Attempt, LabError> {
        let options = S::Database::connect_options(self.template, specimen, self.points.via());
        let mut delivery =
            Delivery::start(self.ordinal, point, options.to_url_lossy().as_str()).await?;
        self.points.arm(Some(Injury {
            mode: Mode::Killed,
            point,
        }));
        delivery.go();
        let attempt = tokio::select! {
            biased;
            () = self.points.held() => Attempt::Cut,
            said = delivery.said() => match said.as_deref() {
                Some("held") => Attempt::Cut,
                Some("ended") => Attempt::Ended(Delivered::Failed("in a process that then went away".into())),
                _ => return Err(LabError::new("the process to be killed ended before its delivery did")),
            },
            () = tokio::time::sleep(self.patience) => Attempt::TimedOut,
        };
        delivery.kill();
        Ok(attempt)
    }

    async fn once(&self, life: &Life<S>) -> Attempt {
        let delivery = catch_panic(self.subject.deliver(&life.pool, &life.process), || {
            self.points.polled();
        });
        match tokio::time::timeout(self.patience, delivery).await {
            Ok(Ok(delivered)) => Attempt::Ended(delivered),
            Ok(Err(panic)) => Attempt::Ended(Delivered::Failed(format!("it panicked: {panic}"))),
            Err(_) => Attempt::TimedOut,
        }
    }

    fn told(&self, number: usize, injury: Option<Injury>, attempts: &[Attempt]) -> String {
        let what = match injury {
            Some(injury) => format!("{}; ", injury.mode.story(self.points.step(), injury.point)),
            None => String::new(),
        };
        let how = |attempt: &Attempt| match attempt {
            Attempt::Ended(Delivered::Ok(ended)) => ended.said().to_owned(),
            Attempt::Ended(Delivered::Failed(error)) => format!("failed: {error}"),
            Attempt::Cut => "nobody saw its end".into(),
            Attempt::TimedOut => "did not end".into(),
        };
        let hows: Vec<String> = attempts.iter().map(how).collect();
        format!("delivery {number}: {what}{}", hows.join(", "))
    }

    /// The message comes once more, to another process: its acknowledgement was lost.
    async fn deliver_elsewhere(
        &self,
        clean: &Clean,
        specimen: &Specimen,
        story: &mut Vec<String>,
    ) -> Result<Option<Broken>, LabError> {
        let life = self.life(specimen, false).await?;
        let attempt = self.once(&life).await;
        life.rest().await;
        life.end().await;
        let found = self.snapshot(specimen).await?;
        story.push("later, in another process: delivered again".into());
        if let Some(broken) = judge(clean, &found, true, true) {
            return Ok(Some(broken));
        }
        Ok(match attempt {
            Attempt::Ended(Delivered::Failed(error))
                if !ended_as(
                    &Attempt::Ended(Delivered::Failed(error.clone())),
                    &clean.ended,
                ) =>
            {
                Some(Broken::new(
                    Breach::Stuck,
                    vec![format!("it failed: {error}")],
                ))
            }
            Attempt::TimedOut => Some(self.unended()),
            _ => None,
        })
    }

    fn unended(&self) -> Broken {
        let told = format!("it had not ended after {:?}", self.patience);
        Broken::new(Breach::Stuck, vec![told])
    }
}

/// Whether a delivery ended as that of the clean run.
fn ended_as(attempt: &Attempt, clean: &Delivered) -> bool {
    match (attempt, clean) {
        (Attempt::Ended(Delivered::Ok(_)), Delivered::Ok(_)) => true,
        (Attempt::Ended(found), clean) => found == clean,
        _ => false,
    }
}
