//! What can be set, and the order of an exploration.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::Pool;

use super::calibration::{Calibration, calibrate};
use super::child::{self, Role};
use super::fault::Mode;
use super::plan;
use super::points::Points;
use super::report::Report;
use super::specimens::Specimens;
use super::subject::{OfFunction, OfHandler, Subject};
use super::trial::Bench;
use super::visit::Visit;
use crate::handler::Handler;
use crate::message::Received;
use crate::store::Store;
use crate::store::explorable::Explorable;
use crate::store::lab::{Lab, LabError};

/// Explores a handler with other settings than [`explore`](super::explore)'s.
///
/// ```no_run
/// # #[cfg(all(feature = "macros", feature = "postgres"))]
/// # mod example {
/// # use idem_runtime::idempotent;
/// # use sqlx::PgConnection;
/// # #[derive(Clone)]
/// # pub struct Payment { id: String }
/// # #[idempotent(key = "event.id", handler = ApplyPayment)]
/// # pub async fn apply_payment(tx: &mut PgConnection, event: &Payment) -> Result<(), sqlx::Error> { Ok(()) }
/// use idem_runtime::testing::{Explorer, Mode};
///
/// async fn explore_thoroughly(database_url: &str, event: &Payment) {
///     Explorer::new(database_url)
///         .ignore("payments.seen_by") // differs from run to run, and may
///         .without(Mode::TruncatedReply)
///         .double_faults(500)
///         .run::<ApplyPayment>(event)
///         .await
///         .assert_holds();
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Explorer {
    url: String,
    modes: BTreeSet<Mode>,
    double_faults: usize,
    seed: u64,
    connections: u32,
    side_by_side: usize,
    patience: Duration,
    ignored: Vec<String>,
}

/// Runs at once where nothing else is said. Two take five sixths of the time of one on two processors, and more no less.
const SIDE_BY_SIDE: usize = 2;

impl Explorer {
    /// Of a handler on the database at this URL: a template that is read and copied, and never changed. It holds the
    /// schema, this crate's tables, and the rows that the delivery needs. Nobody may be connected to it on PostgreSQL.
    pub fn new(database_url: impl Into<String>) -> Self {
        let mut modes = BTreeSet::from(Mode::ALL);
        modes.remove(&Mode::Killed);
        Self {
            url: database_url.into(),
            modes,
            double_faults: 0,
            seed: 0,
            connections: 4,
            side_by_side: SIDE_BY_SIDE,
            patience: Duration::from_secs(40),
            ignored: Vec::new(),
        }
    }

    /// Only these modes.
    #[must_use]
    pub fn modes(mut self, modes: impl IntoIterator<Item = Mode>) -> Self {
        self.modes = modes.into_iter().collect();
        self
    }

    /// All but this mode.
    #[must_use]
    pub fn without(mut self, mode: Mode) -> Self {
        self.modes.remove(&mode);
        self
    }

    /// Also kills a process by SIGKILL at each step. The process is this test, run again by its name for each of them: whatever it
    /// does before it explores is done again, too, so it must not mind. It takes its time.
    ///
    /// In a program that is no test, the program is run again with the same arguments.
    #[must_use]
    pub fn kill(mut self) -> Self {
        self.modes.insert(Mode::Killed);
        self
    }

    /// Also so many runs in which the second delivery is injured as well, drawn from all pairs. For a nightly test.
    #[must_use]
    pub const fn double_faults(mut self, runs: usize) -> Self {
        self.double_faults = runs;
        self
    }

    /// Draws the double faults by another seed than 0.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The size of the pool that deliveries get; 4 by default.
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How many runs there are at once, each on a copy of its own; 2 by default. A handler that keeps something in the process
    /// beside its context, such as a `static`, is explored with 1.
    #[must_use]
    pub fn side_by_side(mut self, runs: usize) -> Self {
        self.side_by_side = runs.max(1);
        self
    }

    /// How long one delivery may take before its run is a violation; 40 s by default.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A column that may hold anything, as `table.column`; or a table, whose rows may come and go.
    #[must_use]
    pub fn ignore(mut self, column: impl Into<String>) -> Self {
        self.ignored.push(column.into());
        self
    }

    /// Explores a handler whose context can be made out of nothing.
    pub async fn run<H>(&self, message: &H::Message) -> Report
    where
        H: Handler<Database: Explorable, Message: Clone, Context: Default, Error: Debug>,
    {
        let received = Received::new("explored", message.clone());
        self.run_received::<H>(received, |_| H::Context::default())
            .await
    }

    /// Explores a handler with a delivery and a context of your making. The context lives as long as a process does: a run
    /// makes a second one when it delivers again after a restart.
    pub async fn run_received<H>(
        &self,
        received: Received<H::Message>,
        context: impl Fn(&Pool<H::Database>) -> H::Context,
    ) -> Report
    where
        H: Handler<Database: Explorable, Error: Debug>,
    {
        self.explore(&OfHandler::<H, _>::new(received, context))
            .await
    }

    /// Explores a function, such as a handler written by hand, or one that takes more than a message.
    ///
    /// ```no_run
    /// # #[cfg(feature = "postgres")]
    /// # mod example {
    /// use idem_runtime::testing::Explorer;
    /// use sqlx::PgPool;
    ///
    /// # async fn ship(_: &PgPool, _: i64, _: &str) -> Result<(), sqlx::Error> { Ok(()) }
    /// async fn explore_ship(database_url: &str) {
    ///     let explorer = Explorer::new(database_url);
    ///     let report = explorer.run_with(async |pool: PgPool| ship(&pool, 17, "express").await).await;
    ///     report.assert_holds();
    /// }
    /// # }
    /// ```
    pub async fn run_with<DB, F, T, E>(&self, deliver: F) -> Report
    where
        DB: Explorable,
        F: AsyncFn(Pool<DB>) -> Result<T, E>,
        E: Debug,
    {
        let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
        self.explore(&OfFunction::new(name, deliver)).await
    }

    async fn explore<S: Subject>(&self, subject: &S) -> Report {
        let started = Instant::now();
        let mut report = Report::new(subject.name(), <S::Database as Store>::SYSTEM);
        let explored = match child::role() {
            Role::Explorer { ordinal } => self.try_explore(subject, ordinal, &mut report).await,
            Role::Bystander => Ok(()),
            Role::Child { point, url } => {
                Err(child::live(subject, self.connections, point, &url).await)
            }
        };
        if let Err(error) = explored {
            report.trouble = Some(error.to_string());
        }
        report.elapsed = started.elapsed();
        report
    }

    async fn try_explore<S: Subject>(
        &self,
        subject: &S,
        ordinal: u32,
        report: &mut Report,
    ) -> Result<(), LabError> {
        let only = plan::only()?;
        let template = S::Database::open_template(&self.url).await?;
        let points = (0..self.side_by_side).map(|_| {
            Points::start(
                S::Database::PROTOCOL,
                S::Database::server_address(&template),
            )
        });
        let points: Vec<Points> = points.collect::<Result<_, _>>().map_err(|error| {
            LabError::new(format!(
                "the proxy in front of the database could not start: {error}"
            ))
        })?;
        let specimens = Specimens::<S::Database>::of(template, self.side_by_side);
        let template = Arc::clone(&specimens.template);
        let benches = points.iter().map(|points| Bench {
            subject,
            template: &template,
            points,
            connections: self.connections,
            patience: self.patience,
            ordinal,
            ignored: &self.ignored,
            identities: Mutex::default(),
        });
        let benches: Vec<_> = benches.collect();
        let first = &benches[0];
        report.step = first.points.step();
        let explored = match calibrate(first, &specimens, report).await {
            Ok(Calibration::Clean(clean)) => {
                let mut visit = Visit {
                    benches: &benches,
                    clean: &clean,
                    specimens: &specimens,
                    report,
                };
                let visited = match only {
                    Some(faults) => visit.each(faults).await,
                    None => self.visit_all(&mut visit).await,
                };
                visited.and_then(|()| visit.expect_runs())
            }
            Ok(Calibration::Broken) => Ok(()),
            Err(error) => Err(error),
        };
        drop(benches);
        drop(template);
        let closed = specimens.close().await;
        explored.and(closed)
    }

    async fn visit_all<S: Subject>(&self, visit: &mut Visit<'_, '_, S>) -> Result<(), LabError> {
        let steps = visit.report.steps.len();
        let visited = plan::visited(&visit.report.steps).count();
        if visited < steps {
            let step = visit.report.step;
            visit.note(format!(
                "{visited} of {steps} {step}s were visited: those around each change, and evenly spread ones"
            ));
        }
        let modes = self.modes.iter().copied();
        let modes = modes.filter(|mode| S::Database::MODES.contains(mode));
        let faults = plan::faults(modes, &visit.report.steps, visit.clean);
        visit.each(faults.clone()).await?;
        if self.modes.contains(&Mode::Dropped) {
            visit.drops().await?;
        }
        if self.double_faults > 0 {
            visit.note(format!("double faults drawn by the seed {}", self.seed));
            let doubled = plan::doubled(&faults, self.double_faults, self.seed);
            visit.each(doubled).await?;
        }
        let violations = &mut visit.report.violations;
        violations.sort_by_key(|violation| violation.fault);
        Ok(())
    }
}
