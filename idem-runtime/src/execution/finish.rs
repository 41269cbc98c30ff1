//! How a transaction ends: with the end of its call, without its effects, or by an error.

use std::fmt;

use super::Execution;
use crate::begin::Begin;
use crate::error::Error;
use crate::outbox::Row;
use crate::store::{Commit, End, ErrorClass, FinishArgs, Home, Store};
use crate::telemetry::Redacted;
use crate::telemetry::unlogged::unlogged;
use crate::wake;

/// How a transaction that could not be finished ended.
#[derive(Debug)]
pub(crate) enum FinishError {
    /// The database chose it to lose: nothing is stored, and another attempt may win.
    Conflict(sqlx::Error),
    /// Final.
    Failed(Error),
}

impl FinishError {
    /// By an error that the database reported before COMMIT.
    fn of(scope: &str, home: Option<&Home>, class: ErrorClass, error: sqlx::Error) -> Self {
        match class {
            ErrorClass::Lost => {
                tracing::debug!(idem.scope = scope, error = %Redacted(&error), "the transaction was no longer whole");
                Self::Failed(Error::RolledBack)
            }
            ErrorClass::Conflict => Self::Conflict(error),
            // A trigger that is deferred to COMMIT may fail by any code. These codes are a verdict
            // only while claiming; here they are the handler's own error.
            ErrorClass::Duplicate | ErrorClass::TimedOut | ErrorClass::ForeignTransaction => {
                Self::Failed(Error::Store(error))
            }
            class => Self::Failed(class.into_error(error, home)),
        }
    }
}

impl fmt::Display for FinishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(error) | Self::Failed(Error::Store(error)) => Redacted(error).fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Execution<DB, B> {
    /// Tells those who wait for this key that it has its row.
    pub(super) fn tell_stored(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.stored();
        }
    }

    fn unfinished(&self, class: ErrorClass, error: sqlx::Error) -> FinishError {
        let home = self.session.home().map(|home| &**home);
        FinishError::of(&self.policy.scope, home, class, error)
    }

    /// Ends the transaction without its effects. Never fails: what can't be rolled back is closed.
    pub(crate) async fn roll_back(&mut self) {
        if self.session.is_idle() {
            return;
        }
        if !self.session.is_whole().await && self.session.commit() != Commit::Release {
            // A transaction that the handler leaked stands above ours: the connection is closed.
            return;
        }
        if let Err(error) = self.session.roll_back().await {
            tracing::debug!(idem.scope = &*self.policy.scope, error = %Redacted(&error), "rollback failed, the connection is closed");
        }
    }

    /// Undoes the effects and keeps the claim. After an error all is rolled back.
    pub(crate) async fn undo_effects(&mut self) -> Result<(), FinishError> {
        let undone = if self.session.is_whole().await {
            DB::undo_effects(self.session.connection(), &self.fence).await
        } else {
            // The savepoint is below what the handler leaked.
            self.roll_back().await;
            return Err(FinishError::Failed(Error::RolledBack));
        };
        let Err(error) = undone else {
            return Ok(());
        };
        let class = DB::classify(&error);
        if class != ErrorClass::Unknown {
            self.roll_back().await;
        }
        Err(self.unfinished(class, error))
    }

    /// Stores the end and the events, and commits if the transaction is ours.
    pub(crate) async fn finish(&mut self, end: End<'_>, events: &[Row]) -> Result<(), FinishError> {
        if !self.session.is_whole().await {
            // sqlx's COMMIT would only release what was leaked, and ours would commit it.
            self.roll_back().await;
            return Err(FinishError::Failed(Error::RolledBack));
        }
        let commit = self.session.commit();
        let home = self.session.home().cloned();
        let args = FinishArgs {
            home: home.as_deref().expect("a call that began knows its home"),
            claim: self
                .identity
                .as_ref()
                .map(|identity| self.policy.claim(identity)),
            fence: &self.fence,
            end,
            result_version: self.policy.result_version,
            events,
        };
        let mut finished = unlogged(DB::finish(self.session.connection(), &args, commit)).await;
        if finished.is_ok() && commit == Commit::Release {
            finished = self.session.release().await;
        }
        let Err(error) = finished else {
            self.session.disarm();
            self.tell_stored();
            // The caller's own COMMIT is nothing that this crate hears of.
            if !events.is_empty()
                && commit != Commit::Release
                && let Some(home) = &home
            {
                wake::committed(home.namespace);
            }
            return Ok(());
        };
        let class = DB::classify(&error);
        if class == ErrorClass::Unknown && commit == Commit::Release {
            // The caller's COMMIT can't succeed on a connection that broke.
            return Err(FinishError::Failed(Error::Store(error)));
        }
        if class == ErrorClass::Unknown {
            tracing::debug!(idem.scope = &*self.policy.scope, error = %Redacted(&error), "the connection broke during COMMIT");
            return Err(FinishError::Failed(Error::CommitUnknown));
        }
        self.roll_back().await;
        Err(self.unfinished(class, error))
    }
}
