//! What every database must do.

mod attempts;
mod batches;
mod conformance;
mod dead_letters;
mod deadlines;
mod delivery;
mod inbox;
mod leaving;
mod order;
mod outage;
mod parking;
mod pressure;

use std::time::Duration;

use idem_runtime::{
    Backoff, Consumer, ConsumerError, ConsumerStats, Error, Received, Route, Source, idempotent,
};
use idem_testing::TestSource;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Conn, Database, Db, Pool, start};
use crate::stage::{Stage, Step, StepError, within};

/// A route without a transaction: what a consumer does is the same, and on SQLite nobody waits for
/// the one writer.
pub(crate) struct Play;

impl Route<Database> for Play {
    type Message = Step;
    type Context = Stage;
    type Error = Error<StepError>;

    const SCOPE: &'static str = "consumer.play";

    async fn deliver(
        _: &Pool,
        message: &Received<Step>,
        stage: &Stage,
    ) -> Result<(), Error<StepError>> {
        stage.play(message).await
    }
}

/// A handler with an effect.
#[idempotent(key = "step.id", scope = "consumer.perform", handler = Perform)]
pub(crate) async fn perform(
    tx: &mut Conn,
    step: &Received<Step>,
    stage: &Stage,
) -> Result<(), StepError> {
    let sql = format!("INSERT INTO effects VALUES ('{}')", step.data.n);
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&mut *tx)
        .await?;
    let played = stage.play(step).await;
    played.map_err(|error| error.into_handler().unwrap())
}

/// A consumer that fails a delivery three times, and waits for a minute at most.
pub(crate) fn consumer(source: &TestSource, stage: &Stage) -> Consumer<TestSource, Database> {
    Consumer::new("steps", source.clone())
        .on_with::<Play>(stage.clone())
        .retry(Backoff::exponential(Duration::from_secs(1), Duration::from_mins(1)).attempts(3))
        .hold(Duration::from_mins(1))
}

/// A consumer that runs.
pub(crate) struct Running {
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<ConsumerStats, ConsumerError>>,
}

impl Running {
    pub(crate) fn start<S, F>(pool: &Pool, consumer: Consumer<S, Database, F>) -> Self
    where
        S: Source,
        F: Send + Sync + 'static,
    {
        let (shutdown, is_over) = oneshot::channel();
        let pool = pool.clone();
        let over = async {
            let _ = is_over.await;
        };
        Self {
            shutdown: Some(shutdown),
            task: tokio::spawn(async move { consumer.run(&pool, over).await }),
        }
    }

    pub(crate) fn begin_shutdown(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn ended(self) -> Result<ConsumerStats, ConsumerError> {
        within(self.task).await.unwrap()
    }

    pub(crate) async fn stop(mut self) -> ConsumerStats {
        self.begin_shutdown();
        self.ended().await.unwrap()
    }

    /// As a crash does: nothing is settled, and nothing written.
    pub(crate) async fn crash(self) {
        self.task.abort();
        self.task.await.unwrap_err();
    }
}

/// The attempts that the database has counted, as `id attempts`.
pub(crate) async fn attempts(db: &Db) -> Vec<String> {
    let rows = db
        .texts("SELECT CAST(attempts AS char(11)) FROM idem_attempts WHERE origin = 'consumer' ORDER BY id")
        .await;
    let ids = db
        .texts(
            "SELECT CAST(id AS char(40)) FROM idem_attempts WHERE origin = 'consumer' ORDER BY id",
        )
        .await;
    ids.iter()
        .zip(rows)
        .map(|(id, attempts)| format!("{} {}", id.trim_end(), attempts.trim_end()))
        .collect()
}

/// How many dead letters there are.
pub(crate) async fn letters(db: &Db) -> i64 {
    db.number("SELECT count(*) FROM idem_dead_letters WHERE origin = 'consumer'")
        .await
}
