//! What a consumer does while its database takes no writes.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::state::task::{Done, on_connection};
use super::state::{Worker, find_home};
use crate::consumer::options::STATEMENT_LIMIT;
use crate::source::Source;
use crate::statement::StatementError;
use crate::store::{ConsumerStore, ErrorClass, Home};

impl<S: Source, DB: ConsumerStore> Worker<S, DB> {
    /// Something could not be written, or the database failed many deliveries in a row. Nothing more
    /// is started until a write of the consumer's own has succeeded.
    pub(super) fn outage_begins(&mut self, why: &dyn fmt::Display) {
        if self.outage.begin(Instant::now()) {
            tracing::warn!(
                consumer = &*self.name,
                error = %why,
                "the database fails; nothing is received until it takes a write, and no attempt is used up"
            );
        }
    }

    /// Asks whether the database takes writes: no delivery is put at risk for that.
    pub(super) fn start_probe(&mut self) {
        if !self.outage.asks(Instant::now()) {
            return;
        }
        let (pool, name) = (self.pool.clone(), Arc::clone(&self.name));
        self.tasks
            .spawn(async move { Done::Probed(probe(&pool, name).await) });
    }

    pub(super) fn probed(&mut self, probed: Result<Home, StatementError>, now: Instant) {
        match probed {
            Ok(home) => {
                self.home = Arc::new(home);
                self.outage.end(Instant::now());
                tracing::info!(consumer = &*self.name, "the database takes writes");
                let (held, retry) = (&self.held, &self.options.retry);
                self.lanes.release(|ticket| {
                    let times = held.get(&ticket).map_or(0, |held| held.uncounted);
                    match times {
                        0 => now,
                        times => now + retry.delay(times, &mut rand::rng()),
                    }
                });
            }
            Err(failed) => {
                let pause = self.outage.goes_on(Instant::now());
                if failed.class::<DB>() == ErrorClass::NotMigrated {
                    tracing::warn!(
                        consumer = &*self.name,
                        next_attempt_in = ?pause,
                        "the tables of this crate are missing or outdated: call `idem_runtime::migrate`; nothing is received until \
                         they are there"
                    );
                } else {
                    tracing::warn!(
                        consumer = &*self.name,
                        error = %failed,
                        next_attempt_in = ?pause,
                        "the database takes no write"
                    );
                }
            }
        }
    }
}

async fn probe<DB: ConsumerStore>(
    pool: &sqlx::Pool<DB>,
    name: Arc<str>,
) -> Result<Home, StatementError> {
    let home = find_home(pool).await?;
    let asked = home.clone();
    on_connection(pool, STATEMENT_LIMIT, move |conn| {
        Box::pin(async move { DB::probe(conn, &asked, &name).await })
    })
    .await?;
    Ok(home)
}
