//! The exploration of a batch.

use std::fmt::Debug;

use idem_runtime::__testing::Store;
use idem_runtime::{Handler, Received};
use sqlx::Pool;

use super::Explorer;
use crate::explorable::Explorable;
use crate::report::Report;
use crate::run::batch_target::BatchTarget;
use crate::setup_error::SetupError;

/// Explores a handler with the messages of one batch, on copies of the database at this URL.
///
/// It visits every crash point of one call with all of them, and delivers the batch again until
/// that succeeds. Before that, it delivers them in other batches: in reversed order, each alone,
/// and the first one alone before all of them. Whatever comes together, the database and the result
/// of each message must be the same in the end, since a consumer takes what is ready, and splits a
/// batch that fails.
///
/// Give it two messages or more whose order does not matter: a consumer puts only one message of an
/// ordering key into a batch. The handler may be a batch handler or an ordinary one.
///
/// The messages are delivered with the IDs `explored-1`, `explored-2` and so on; see
/// [`Explorer::run_batch_received`] for others, and [`Explorer`] for everything that can be set.
///
/// ```no_run
/// # #[cfg(all(feature = "macros", feature = "postgres"))]
/// # mod example {
/// # use idem_runtime::idempotent;
/// # use sqlx::PgConnection;
/// # #[derive(Clone)]
/// # pub struct Payment { id: String }
/// # impl Payment { fn of(id: &str) -> Self { Self { id: id.into() } } }
/// # #[idempotent(key = "event.id", batch = "event in events", on_duplicate = "skip", handler = ApplyAll)]
/// # pub async fn apply_all(tx: &mut PgConnection, events: &[&Payment]) -> Result<(), sqlx::Error> { Ok(()) }
/// use idem_testing::explore_batch;
///
/// # async fn test() {
/// let url = std::env::var("TEST_DATABASE_URL").unwrap();
/// let payments = ["evt_1", "evt_2", "evt_3"].map(Payment::of);
/// explore_batch::<ApplyAll>(&url, &payments).await.assert_holds();
/// # }
/// # }
/// ```
pub async fn explore_batch<H>(database_url: &str, messages: &[H::Message]) -> Report
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
    Explorer::new(database_url).run_batch::<H>(messages).await
}

impl Explorer {
    /// Explores a handler whose context has a default with the messages of one batch; see
    /// [`explore_batch`].
    pub async fn run_batch<H>(&self, messages: &[H::Message]) -> Report
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
        let received = (1..)
            .zip(messages)
            .map(|(number, message)| Received::new(format!("explored-{number}"), message.clone()))
            .collect();
        self.run_batch_received::<H>(received, |_| H::Context::default())
            .await
    }

    /// Explores a handler with the deliveries of one batch and with contexts from this function,
    /// as [`run_received`](Self::run_received) does with one delivery.
    pub async fn run_batch_received<H>(
        &self,
        received: Vec<Received<H::Message>>,
        context: impl Fn(&Pool<H::Database>) -> H::Context,
    ) -> Report
    where
        H: Handler<Database: Explorable, Output: Debug, Replay: Debug, Error: Debug>,
    {
        if received.len() < 2 {
            let mut report = Report::new(H::SCOPE.into(), <H::Database as Store>::SYSTEM);
            let few = SetupError::new(
                "a batch is explored with two messages or more; give one message to `explore`",
            );
            report.setup_error = Some(few.to_string());
            return report;
        }
        let target = BatchTarget::<H, _>::new(&received, &context);
        self.explore(&target).await
    }
}
