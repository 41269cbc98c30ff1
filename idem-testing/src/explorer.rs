//! The settings of an exploration, and its order.

mod batch;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use idem_runtime::__testing::Store;
use idem_runtime::Handler;
use idem_runtime::Received;
use sqlx::Pool;

use crate::clone_database::CloneDatabase;
use crate::explorable::Explorable;
use crate::fault::{Fault, FaultKind};
use crate::report::Report;
use crate::run::calibration::{Calibration, calibrate};
use crate::run::child_process;
use crate::run::child_process::Role;
use crate::run::composition;
use crate::run::copy_pool::CopyPool;
use crate::run::exploration::Exploration;
use crate::run::injector::Injector;
use crate::run::plan;
use crate::run::runner::Runner;
use crate::run::target::{FunctionTarget, HandlerTarget, Target};
use crate::setup_error::SetupError;

pub use self::batch::explore_batch;

/// Explores a handler with one message, on copies of the database at this URL.
///
/// The message is delivered with the ID `explored`, no ordering key and no headers; see
/// [`Explorer::run_received`] for others, and [`Explorer`] for everything that can be set.
///
/// The message is cloned once; a type that is not `Clone` can be given by value to
/// [`Explorer::run_received`].
///
/// Call it in a test, on a tokio runtime of any flavour, and end with [`Report::assert_holds`].
pub async fn explore<H>(database_url: &str, message: &H::Message) -> Report
where
    H: Handler<
            Database: Explorable,
            Message: Clone,
            Context: Default,
            Output: Debug,
            Replay: Debug,
            Error: Debug,
        >,
{
    Explorer::new(database_url).run::<H>(message).await
}

/// Explores a handler with other settings than those of [`explore`].
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
/// use idem_testing::{Explorer, FaultKind};
///
/// async fn explore_thoroughly(database_url: &str, event: &Payment) {
///     Explorer::new(database_url)
///         .ignore("payments.seen_by") // may differ from run to run
///         .without(FaultKind::TruncatedReply)
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
    fault_kinds: BTreeSet<FaultKind>,
    double_faults: usize,
    seed: u64,
    connections: u32,
    concurrency: usize,
    delivery_timeout: Duration,
    ignored: Vec<String>,
}

/// What an exploration works with.
struct Stage<'s, 'b, T: Target> {
    runners: &'s [Runner<'b, T>],
    /// The same messages in other batches.
    composed: &'s [(&'static str, Runner<'b, T>)],
    copies: &'s CopyPool<T::Database>,
}

/// The default. On two processors, two runs at a time take five sixths of the time of one, and more
/// runs save nothing.
const CONCURRENCY: usize = 2;

impl Explorer {
    /// Explores handlers on the database at this URL: a template that is read and copied, and never
    /// changed. It holds the schema, the tables of `idem-runtime`, and the rows that the delivery
    /// needs. On PostgreSQL there must be no other connection to it.
    pub fn new(database_url: impl Into<String>) -> Self {
        let mut fault_kinds = BTreeSet::from(FaultKind::ALL);
        fault_kinds.remove(&FaultKind::Killed);
        Self {
            url: database_url.into(),
            fault_kinds,
            double_faults: 0,
            seed: 0,
            connections: 4,
            concurrency: CONCURRENCY,
            delivery_timeout: Duration::from_secs(40),
            ignored: Vec::new(),
        }
    }

    /// Injects only these kinds of faults.
    #[must_use]
    pub fn fault_kinds(mut self, kinds: impl IntoIterator<Item = FaultKind>) -> Self {
        self.fault_kinds = kinds.into_iter().collect();
        self
    }

    /// Injects all kinds of faults but this.
    #[must_use]
    pub fn without(mut self, kind: FaultKind) -> Self {
        self.fault_kinds.remove(&kind);
        self
    }

    /// Also kills a process by SIGKILL at each step. The process is this test, started again by its
    /// name for each step. Code before the exploration runs again in every such process and must be
    /// repeatable. Slow.
    ///
    /// In a program that is not a test, the program is started again with the same arguments.
    #[must_use]
    pub fn kill(mut self) -> Self {
        self.fault_kinds.insert(FaultKind::Killed);
        self
    }

    /// Also carries out this number of runs with a second fault, in the second delivery. They are
    /// drawn at random from all pairs. For a nightly test.
    #[must_use]
    pub const fn double_faults(mut self, runs: usize) -> Self {
        self.double_faults = runs;
        self
    }

    /// Draws the double faults with this seed; 0 by default.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The size of the pool that a delivery gets; 4 by default.
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How many runs go on at a time, each on a copy of its own; 2 by default. Set it to 1 for a
    /// handler that keeps state in the process outside its context, such as a `static`.
    #[must_use]
    pub fn concurrency(mut self, runs: usize) -> Self {
        self.concurrency = runs.max(1);
        self
    }

    /// How long a delivery may take. One that takes longer is a violation; 40 s by default.
    #[must_use]
    pub const fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// Ignores a column, given as `table.column`, or all rows of a table.
    #[must_use]
    pub fn ignore(mut self, column: impl Into<String>) -> Self {
        self.ignored.push(column.into());
        self
    }

    /// Explores a handler whose context has a default.
    pub async fn run<H>(&self, message: &H::Message) -> Report
    where
        H: Handler<
                Database: Explorable,
                Message: Clone,
                Context: Default,
                Output: Debug,
                Replay: Debug,
                Error: Debug,
            >,
    {
        let received = Received::new("explored", message.clone());
        self.run_received::<H>(received, |_| H::Context::default())
            .await
    }

    /// Explores a handler with this delivery and with contexts from this function. A context lives
    /// as long as a process: a run makes a second one when it delivers again after a restart.
    pub async fn run_received<H>(
        &self,
        received: Received<H::Message>,
        context: impl Fn(&Pool<H::Database>) -> H::Context,
    ) -> Report
    where
        H: Handler<Database: Explorable, Output: Debug, Replay: Debug, Error: Debug>,
    {
        self.explore(&HandlerTarget::<H, _>::new(received, context))
            .await
    }

    /// Explores a function, such as a handler that was written by hand, or one that takes more than
    /// a message.
    ///
    /// ```no_run
    /// # #[cfg(feature = "postgres")]
    /// # mod example {
    /// use idem_testing::Explorer;
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
        T: Debug,
        E: Debug,
    {
        let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
        self.explore(&FunctionTarget::new(name, deliver)).await
    }

    async fn explore<T: Target>(&self, target: &T) -> Report {
        let started = Instant::now();
        let mut report = Report::new(target.name(), <T::Database as Store>::SYSTEM);
        let explored = match child_process::role() {
            Role::Explorer { ordinal } => self.try_explore(target, ordinal, &mut report).await,
            Role::Skip => Ok(()),
            Role::Child { point, url } => {
                Err(child_process::deliver_once(target, self.connections, point, &url).await)
            }
        };
        if let Err(error) = explored {
            report.setup_error = Some(error.to_string());
        }
        report.elapsed = started.elapsed();
        report
    }

    async fn try_explore<T: Target>(
        &self,
        target: &T,
        ordinal: u32,
        report: &mut Report,
    ) -> Result<(), SetupError> {
        let only = plan::only()?;
        let template = T::Database::open_template(&self.url).await?;
        let injectors = (0..self.concurrency).map(|_| {
            let server = T::Database::server_address(&template);
            Injector::start(T::Database::PROTOCOL, server)
        });
        let injectors: Vec<Injector> = injectors.collect::<Result<_, _>>().map_err(|error| {
            SetupError::new(format!(
                "the proxy in front of the database could not start: {error}"
            ))
        })?;
        let copies = CopyPool::<T::Database>::new(template, self.concurrency);
        let template = Arc::clone(&copies.template);
        let compositions = target.compositions();
        let runner_of = |target, injector| Runner {
            target,
            template: &*template,
            injector,
            connections: self.connections,
            delivery_timeout: self.delivery_timeout,
            ordinal,
            ignored: &self.ignored,
            identities: Mutex::default(),
        };
        let runners: Vec<_> = injectors
            .iter()
            .map(|injector| runner_of(target, injector))
            .collect();
        let composed: Vec<_> = compositions
            .iter()
            .map(|(how, target)| (*how, runner_of(target, &injectors[0])))
            .collect();
        report.step = injectors[0].step();
        let stage = Stage {
            runners: &runners,
            composed: &composed,
            copies: &copies,
        };
        let explored = self.explore_on(stage, only, report).await;
        drop(composed);
        drop(runners);
        drop(template);
        let closed = copies.close().await;
        explored.and(closed)
    }

    async fn explore_on<T: Target>(
        &self,
        stage: Stage<'_, '_, T>,
        only: Option<Vec<Fault>>,
        report: &mut Report,
    ) -> Result<(), SetupError> {
        let Stage {
            runners,
            composed,
            copies,
        } = stage;
        let Calibration::Baseline(baseline) = calibrate(&runners[0], copies, report).await? else {
            return Ok(());
        };
        for (how, runner) in composed {
            let violation = composition::check(runner, how, &baseline, copies).await?;
            if let Some(violation) = violation {
                report.violations.push(violation);
                return Ok(());
            }
        }
        let mut exploration = Exploration {
            runners,
            baseline: &baseline,
            copies,
            report,
        };
        match only {
            Some(faults) => exploration.each(faults).await?,
            None => self.visit_all(&mut exploration).await?,
        }
        exploration.expect_runs()
    }

    async fn visit_all<T: Target>(
        &self,
        exploration: &mut Exploration<'_, '_, T>,
    ) -> Result<(), SetupError> {
        let steps = exploration.report.steps.len();
        let visited = plan::visited(&exploration.report.steps).count();
        if visited < steps {
            let step = exploration.report.step;
            exploration.note(format!(
                "{visited} of {steps} {step}s were visited: those around each change, and others at even distances"
            ));
        }
        let kinds = self.fault_kinds.iter().copied();
        let kinds = kinds.filter(|kind| T::Database::FAULT_KINDS.contains(kind));
        let faults = plan::faults(kinds, &exploration.report.steps, exploration.baseline);
        exploration.each(faults.clone()).await?;
        if self.fault_kinds.contains(&FaultKind::Dropped) {
            exploration.drops().await?;
        }
        if self.double_faults > 0 {
            exploration.note(format!("double faults drawn by the seed {}", self.seed));
            let doubled = plan::doubled(&faults, self.double_faults, self.seed);
            exploration.each(doubled).await?;
        }
        let violations = &mut exploration.report.violations;
        violations.sort_by_key(|violation| violation.fault);
        Ok(())
    }
}
