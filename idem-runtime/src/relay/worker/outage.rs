//! What a relay does while its database refuses.

use super::state::outage::ATTEMPTS;
use super::state::{Until, Worker};
use crate::publisher::Publisher;
use crate::relay::error::RelayError;
use crate::statement::StatementError;
use crate::store::{ErrorClass, OutboxStore};
use tokio::time::Instant;

impl<DB: OutboxStore, P: Publisher> Worker<DB, P> {
    /// Decides after an error of the database: whether to go on, and when to try again.
    ///
    /// A service lives through the outages of a database that it has reached once. Before that, and
    /// in a job, an error is more likely to be a mistake in the set-up, and ends the run. An answer
    /// that does not come from a database which was reached before is not such a mistake.
    pub(super) fn refused(
        &mut self,
        what: &str,
        failure: StatementError,
    ) -> Result<(), RelayError> {
        let class = failure.class::<DB>();
        let is_contention = matches!(class, ErrorClass::Conflict | ErrorClass::TimedOut);
        let is_lost = matches!(failure, StatementError::TimedOut(_)) && self.outage.was_reached;
        let survives = match self.until {
            Until::Shutdown if self.outage.was_reached => true,
            _ => (is_contention || is_lost) && self.outage.failures < ATTEMPTS,
        };
        if !survives {
            return Err(match class {
                ErrorClass::NotMigrated => RelayError::NotMigrated,
                _ => RelayError::Store(failure.into_error()),
            });
        }
        let now = Instant::now();
        let lease = Some(self.options.lease).filter(|_| self.membership.is_held(now));
        let pause = self.outage.failed(now, lease);
        if is_contention {
            tracing::debug!(
                target_name = self.options.target,
                error = %failure,
                "another transaction was in the way: {what}; the relay tries again"
            );
        } else {
            tracing::warn!(
                target_name = self.options.target,
                error = %failure,
                failures = self.outage.failures,
                next_attempt_in = ?pause,
                "the database refused the relay or did not answer: {what}. The relay tries again, and nothing is lost. If \
                 this goes on, check the database, that `migrate` has run, that this role has the rights of a relay, and \
                 that the pool has connections left"
            );
        }
        Ok(())
    }
}
