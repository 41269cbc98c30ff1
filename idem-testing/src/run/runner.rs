//! What all runs share: the target, the database, the injector; and one delivery by them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::ConnectOptions as _;

use super::child_process::ChildProcess;
use super::injector::Injector;
use super::process::Process;
use super::target::{DeliveryOutcome, Target};
use crate::clone_database::{CloneDatabase, DatabaseCopy};
use crate::comparison::snapshot::Snapshot;
use crate::explorable::Explorable;
use crate::fault::{FaultKind, FaultPoint};
use crate::poll::{catch_panic, drop_at_pending};
use crate::setup_error::SetupError;

/// Carries out one run at a time.
pub(crate) struct Runner<'a, T: Target> {
    pub(crate) target: &'a T,
    pub(crate) template: &'a <T::Database as CloneDatabase>::Template,
    pub(crate) injector: &'a Injector,
    pub(crate) connections: u32,
    /// How long one delivery may take.
    pub(crate) delivery_timeout: Duration,
    /// Which exploration of its test this is.
    pub(crate) ordinal: u32,
    /// Columns and tables that may hold anything.
    pub(crate) ignored: &'a [String],
    /// The options of all pools so far. `idem-runtime` tells pools apart by their address, so they
    /// are kept: a pool at the address of an earlier one would inherit what is known of that one.
    pub(crate) identities: Mutex<Vec<PoolIdentity<T>>>,
}

type PoolIdentity<T> =
    Arc<<<<T as Target>::Database as sqlx::Database>::Connection as sqlx::Connection>::Options>;

/// The steps of a delivery without a fault.
pub(crate) struct Steps {
    pub(crate) shown: Vec<String>,
    /// Those that can't fail.
    pub(crate) infallible: Vec<u64>,
    /// The rows that were written.
    pub(crate) writes: Vec<String>,
}

/// How one delivery ended, as far as its caller knows.
pub(crate) enum Attempt {
    Ended(DeliveryOutcome),
    /// The future was dropped, or the process was killed.
    Cut,
    TimedOut,
}

impl<T: Target> Runner<'_, T> {
    /// Starts a process on a copy, through the injector or past it.
    pub(crate) async fn process(
        &self,
        copy: &DatabaseCopy,
        through: bool,
    ) -> Result<Process<T>, SetupError> {
        let injector = through.then_some(self.injector);
        let options =
            T::Database::connect_options(self.template, copy, injector.and_then(Injector::via));
        let process = Process::start(self.target, options, self.connections, injector)
            .await
            .map_err(SetupError::sql("connecting to a copy of the database"))?;
        let mut identities = self
            .identities
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        identities.push(process.pool.connect_options());
        Ok(process)
    }

    pub(crate) async fn snapshot(&self, copy: &DatabaseCopy) -> Result<Snapshot, SetupError> {
        let mut snapshot = T::Database::snapshot(self.template, copy).await?;
        for name in self.ignored {
            if !snapshot.leave_out(name) {
                return Err(SetupError::new(format!(
                    "there is no column or table `{name}` to ignore: write `table.column`, or the name of a table"
                )));
            }
        }
        Ok(snapshot)
    }

    /// One delivery without a fault, and its steps.
    pub(crate) async fn deliver_cleanly(&self, process: &Process<T>) -> (DeliveryOutcome, Steps) {
        self.injector.arm(None);
        let attempt = self.deliver(process).await;
        process.wait_idle().await;
        self.injector.settle().await;
        let steps = Steps {
            shown: self.injector.steps(T::Database::label),
            infallible: self.injector.infallible(),
            writes: self.injector.writes(),
        };
        self.injector.disarm();
        let outcome = match attempt {
            Attempt::Ended(outcome) => outcome,
            Attempt::Cut | Attempt::TimedOut => DeliveryOutcome::Failed(self.timed_out()),
        };
        (outcome, steps)
    }

    /// Delivers with a fault, if there is one. Deliveries at once have several attempts.
    pub(crate) async fn deliver_with(
        &self,
        process: &Process<T>,
        copy: &DatabaseCopy,
        fault: Option<FaultPoint>,
    ) -> Result<Vec<Attempt>, SetupError> {
        let kind = fault.map(|fault| fault.kind);
        if let Some(fault) = fault
            && fault.kind == FaultKind::Killed
        {
            return self.kill(copy, fault).await.map(|attempt| vec![attempt]);
        }
        self.injector.arm(fault);
        let attempt = match kind {
            Some(FaultKind::Concurrent) => {
                let deliver = || self.deliver(process);
                let (a, b, c) = tokio::join!(deliver(), deliver(), deliver());
                return Ok(vec![a, b, c]);
            }
            Some(FaultKind::Dropped) => {
                let point = fault.map_or(0, |fault| fault.point);
                let point = usize::try_from(point).unwrap_or(usize::MAX);
                let delivery = drop_at_pending(point, self.deliver(process));
                delivery.await.unwrap_or(Attempt::Cut)
            }
            Some(FaultKind::DroppedMidStatement) => {
                let attempt = tokio::select! {
                    biased;
                    () = self.injector.held() => Attempt::Cut,
                    attempt = self.deliver(process) => attempt,
                };
                // The future is gone, and the statement goes on.
                self.injector.disarm();
                attempt
            }
            _ => self.deliver(process).await,
        };
        Ok(vec![attempt])
    }

    /// Delivers in a process of its own, which is killed at a step.
    async fn kill(&self, copy: &DatabaseCopy, fault: FaultPoint) -> Result<Attempt, SetupError> {
        let options = T::Database::connect_options(self.template, copy, self.injector.via());
        let url = options.to_url_lossy();
        let mut child = ChildProcess::start(self.ordinal, fault.point, url.as_str()).await?;
        self.injector.arm(Some(fault));
        child.go();
        let attempt = tokio::select! {
            biased;
            () = self.injector.held() => Attempt::Cut,
            said = child.said() => match said.as_deref() {
                Some("held") => Attempt::Cut,
                Some("ended") => {
                    Attempt::Ended(DeliveryOutcome::Failed("in a process that then ended".into()))
                }
                _ => {
                    return Err(SetupError::new(
                        "the process to be killed ended before its delivery did",
                    ));
                }
            },
            () = tokio::time::sleep(self.delivery_timeout) => Attempt::TimedOut,
        };
        child.kill();
        Ok(attempt)
    }

    pub(crate) async fn deliver(&self, process: &Process<T>) -> Attempt {
        let delivery = self.target.deliver(&process.pool, &process.context);
        let delivery = catch_panic(delivery, || self.injector.polled());
        match tokio::time::timeout(self.delivery_timeout, delivery).await {
            Ok(Ok(outcome)) => Attempt::Ended(outcome),
            Ok(Err(panic)) => {
                Attempt::Ended(DeliveryOutcome::Failed(format!("it panicked: {panic}")))
            }
            Err(_) => Attempt::TimedOut,
        }
    }

    pub(crate) fn timed_out(&self) -> String {
        format!("it had not ended after {:?}", self.delivery_timeout)
    }
}

impl Attempt {
    /// Whether it ended as the clean run did.
    pub(crate) fn ended_as(&self, clean: &DeliveryOutcome) -> bool {
        match (self, clean) {
            (Self::Ended(DeliveryOutcome::Ok(_)), DeliveryOutcome::Ok(_)) => true,
            (Self::Ended(found), clean) => found == clean,
            _ => false,
        }
    }

    /// For a report.
    pub(crate) fn describe(&self, fault: Option<FaultKind>) -> String {
        match self {
            Self::Ended(DeliveryOutcome::Ok(success)) => success.label.to_owned(),
            Self::Ended(DeliveryOutcome::Failed(error)) => format!("failed: {error}"),
            Self::Cut if fault == Some(FaultKind::Killed) => {
                "outcome unknown: the process was killed".into()
            }
            Self::Cut => "outcome unknown: the future was dropped".into(),
            Self::TimedOut => "did not end".into(),
        }
    }
}
