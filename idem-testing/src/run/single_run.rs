//! One run: a delivery with a fault, the deliveries that follow, and what the database holds in
//! between and at the end.

use super::baseline::Baseline;
use super::finding::{Finding, State, check, check_unchanged};
use super::process::Process;
use super::returned::Returned;
use super::runner::{Attempt, Runner};
use super::target::{DeliveryOutcome, Target};
use crate::clone_database::{CloneDatabase as _, DatabaseCopy};
use crate::comparison::snapshot::Snapshot;
use crate::explorable::Explorable as _;
use crate::fault::{Fault, FaultKind, FaultPoint};
use crate::setup_error::SetupError;
use crate::violation::ViolationKind;

/// Deliveries of one run. A sound handler succeeds with the second one, or with the third if that
/// met a conflict.
const DELIVERIES: usize = 6;

/// Concurrent deliveries.
const AT_ONCE: usize = 3;

/// Deliveries of a run without a fault.
const IN_A_ROW: usize = 3;

/// What a run showed.
#[derive(Default)]
pub(crate) struct RunResult {
    /// Whether the point of the fault was reached.
    pub(crate) reached: bool,
    /// Whether the delivery with the fault succeeded: the handler tries again by itself, or the
    /// fault did no harm.
    pub(crate) survived: bool,
    /// The steps of the delivery with the fault.
    pub(crate) steps: Vec<String>,
    pub(crate) timeline: Vec<String>,
    pub(crate) finding: Option<Finding>,
}

/// One run with one fault, on a copy of its own.
pub(crate) async fn run<T: Target>(
    runner: &Runner<'_, T>,
    baseline: &Baseline,
    copy: &DatabaseCopy,
    fault: Fault,
) -> Result<RunResult, SetupError> {
    let process = runner.process(copy, true).await?;
    if fault.kind() == FaultKind::Concurrent {
        process
            .connect(AT_ONCE)
            .await
            .map_err(SetupError::sql("connecting to a copy of the database"))?;
    }
    let mut run = SingleRun {
        runner,
        baseline,
        copy,
        fault,
        complete: None,
        returned: Vec::new(),
        result: RunResult::default(),
    };
    run.deliver_until_success(&process).await?;
    process.end().await;
    if run.result.finding.is_none() && run.result.reached {
        run.result.finding = run.deliver_late().await?;
    }
    Ok(run.result)
}

struct SingleRun<'r, 'a, T: Target> {
    runner: &'r Runner<'a, T>,
    baseline: &'r Baseline,
    copy: &'r DatabaseCopy,
    fault: Fault,
    /// The copy when it first held all of the effect: from then on nothing may change.
    complete: Option<Snapshot>,
    /// What each successful delivery returned, and which it was.
    returned: Vec<(String, Returned)>,
    result: RunResult,
}

impl<T: Target> SingleRun<'_, '_, T> {
    async fn deliver_until_success(&mut self, process: &Process<T>) -> Result<(), SetupError> {
        for number in 1..=DELIVERIES {
            let point = match number {
                1 => Some(self.fault.first),
                2 => self.fault.second,
                _ => None,
            };
            let attempts = self.deliver(process, number, point).await?;
            let succeeded = attempts
                .iter()
                .any(|attempt| attempt.ended_as(&self.baseline.outcome));
            self.result.survived |= number == 1 && succeeded && self.is_of_the_handler();
            let deliverer = format!("delivery {number}");
            self.result.finding = self.check(&deliverer, &attempts, succeeded).await?;
            if self.result.finding.is_some() {
                return Ok(());
            }
            if succeeded && (self.fault.kind() != FaultKind::Sequential || number == IN_A_ROW) {
                return Ok(());
            }
        }
        self.result.finding = Some(Finding::new(ViolationKind::NeverSucceeds, Vec::new()));
        Ok(())
    }

    async fn deliver(
        &mut self,
        process: &Process<T>,
        number: usize,
        point: Option<FaultPoint>,
    ) -> Result<Vec<Attempt>, SetupError> {
        let runner = self.runner;
        let injector = runner.injector;
        let attempts = runner.deliver_with(process, self.copy, point).await?;
        // What a handler left to a task of its own belongs to the delivery as well.
        process.wait_idle().await;
        injector.settle().await;
        if number == 1 {
            let fault = self.fault.first;
            self.result.reached = match fault.kind {
                FaultKind::Dropped | FaultKind::Killed => matches!(attempts[..], [Attempt::Cut]),
                kind if kind.is_at_step() || kind.is_at_write() => injector.happened(),
                _ => true,
            };
            self.result.steps = if fault.kind.is_at_write() {
                injector.writes()
            } else {
                injector.steps(T::Database::label)
            };
        }
        injector.disarm();
        if let Some(error) = injector.proxy_error() {
            return Err(SetupError::new(error));
        }
        let what = point.map_or_else(String::new, |point| {
            format!("{}; ", point.describe(injector.step()))
        });
        let kind = point.map(|point| point.kind);
        let how: Vec<String> = attempts
            .iter()
            .map(|attempt| attempt.describe(kind))
            .collect();
        self.result
            .timeline
            .push(format!("delivery {number}: {what}{}", how.join(", ")));
        Ok(attempts)
    }

    /// Whether the fault was in a statement of the handler: `idem-runtime` itself tries its own
    /// again, and a ROLLBACK can't fail.
    fn is_of_the_handler(&self) -> bool {
        let point = self.fault.first.point;
        let place = usize::try_from(point).unwrap_or(usize::MAX);
        let step = self.result.steps.get(place.saturating_sub(1));
        let is_step = self.fault.kind().is_at_step();
        step.is_some_and(|step| !step.starts_with("idem: "))
            && !(is_step && self.baseline.infallible.contains(&point))
    }

    /// What is wrong after a delivery.
    async fn check(
        &mut self,
        delivery: &str,
        attempts: &[Attempt],
        succeeded: bool,
    ) -> Result<Option<Finding>, SetupError> {
        let found = self.runner.snapshot(self.copy).await?;
        if let Some(finding) = self.check_state(found, succeeded) {
            return Ok(Some(finding));
        }
        if attempts
            .iter()
            .any(|attempt| matches!(attempt, Attempt::TimedOut))
        {
            return Ok(Some(self.timed_out()));
        }
        if let Some(finding) = self.check_returned(delivery, attempts) {
            return Ok(Some(finding));
        }
        let open = T::Database::open_transactions(self.runner.template, self.copy).await?;
        Ok((!open.is_empty()).then(|| Finding::new(ViolationKind::OpenTransaction, open)))
    }

    /// What is wrong with what the copy holds.
    fn check_state(&mut self, found: Snapshot, succeeded: bool) -> Option<Finding> {
        if let Some(complete) = &self.complete {
            return check_unchanged(self.baseline, complete, &found);
        }
        let at_once = self.fault.kind() == FaultKind::Concurrent;
        match check(self.baseline, &found, succeeded, at_once) {
            State::Complete => self.complete = Some(found),
            State::Nothing => {}
            State::Wrong(finding) => return Some(finding),
        }
        None
    }

    /// What is wrong with what the delivery returned: a duplicate must return what the first
    /// delivery did.
    fn check_returned(&mut self, delivery: &str, attempts: &[Attempt]) -> Option<Finding> {
        for attempt in attempts {
            let Attempt::Ended(DeliveryOutcome::Ok(success)) = attempt else {
                continue;
            };
            let Some(returned) = &success.returned else {
                continue;
            };
            let clean = self.baseline.returned.as_ref();
            let clean = clean.map(|clean| ("a delivery without any fault", clean));
            let earlier = self.returned.first();
            let earlier = earlier.map(|(delivery, returned)| (delivery.as_str(), returned));
            if let Some((other, expected)) = earlier.or(clean)
                && expected != returned
            {
                let found = vec![
                    format!("{other} returned {expected}"),
                    format!("{delivery} returned {returned}"),
                ];
                return Some(Finding::new(ViolationKind::ResultDiffers, found));
            }
            self.returned.push((delivery.to_owned(), returned.clone()));
        }
        None
    }

    /// The message comes once more, to another process: its acknowledgement was lost.
    async fn deliver_late(&mut self) -> Result<Option<Finding>, SetupError> {
        let process = self.runner.process(self.copy, false).await?;
        let attempt = self.runner.deliver(&process).await;
        process.wait_idle().await;
        process.end().await;
        let found = self.runner.snapshot(self.copy).await?;
        self.result
            .timeline
            .push("later, in another process: delivered again".into());
        if let Some(finding) = self.check_state(found, true) {
            return Ok(Some(finding));
        }
        Ok(match &attempt {
            Attempt::Ended(DeliveryOutcome::Failed(error))
                if !attempt.ended_as(&self.baseline.outcome) =>
            {
                let found = vec![format!("it failed: {error}")];
                Some(Finding::new(ViolationKind::NeverSucceeds, found))
            }
            Attempt::TimedOut => Some(self.timed_out()),
            _ => self.check_returned("the one in another process", &[attempt]),
        })
    }

    fn timed_out(&self) -> Finding {
        Finding::new(ViolationKind::NeverSucceeds, vec![self.runner.timed_out()])
    }
}
