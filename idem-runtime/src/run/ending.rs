//! How a transaction ends: with the end of its call, without its effects, or not as it was told to.

use std::fmt;

use super::{Run, claim, refused};
use crate::begin::Begin;
use crate::error::Error;
use crate::spec::Spec;
use crate::store::{Commit, End, Fault, Finish, Store};
use crate::telemetry::Report;
use crate::unlogged::unlogged;

/// How a transaction that could not be finished ended.
#[derive(Debug)]
pub(crate) enum Unended {
    /// The database chose it to lose: nothing is stored, and another attempt may win.
    Conflict(sqlx::Error),
    /// Final.
    Failed(Error),
}

impl Unended {
    /// By an error that the database told before COMMIT.
    fn of(spec: &Spec, fault: Fault, error: sqlx::Error) -> Self {
        match fault {
            Fault::Lost => {
                tracing::debug!(idem.scope = spec.scope, error = %Report(&error), "the transaction was no longer whole");
                Self::Failed(Error::RolledBack)
            }
            Fault::Conflict => Self::Conflict(error),
            fault => Self::Failed(refused(fault, error)),
        }
    }
}

impl fmt::Display for Unended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(error) | Self::Failed(Error::Store(error)) => Report(error).fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Run<DB, B> {
    /// Ends the transaction without its effects. Never fails: what can't be rolled back is closed.
    pub(crate) async fn roll_back(&mut self) {
        if self.session.is_at_rest() {
            return;
        }
        if !self.session.is_whole() && self.session.commit() != Commit::Release {
            // A transaction that the handler leaked stands above ours: the connection is closed.
            return;
        }
        if let Err(error) = self.session.roll_back().await {
            tracing::debug!(idem.scope = self.spec.scope, error = %Report(&error), "rollback failed, the connection is closed");
        }
    }

    /// Undoes the effects and keeps the claim. After an error all is rolled back.
    pub(crate) async fn undo_effects(&mut self) -> Result<(), Unended> {
        self.events.clear();
        let undone = if self.session.is_whole() {
            DB::undo_effects(self.session.connection(), &self.fence).await
        } else {
            // The savepoint lies below what the handler leaked.
            self.roll_back().await;
            return Err(Unended::Failed(Error::RolledBack));
        };
        let Err(error) = undone else {
            return Ok(());
        };
        let fault = DB::fault(&error);
        if fault != Fault::Unknown {
            self.roll_back().await;
        }
        Err(Unended::of(self.spec, fault, error))
    }

    /// Stores the end and the events, and commits if the transaction is ours.
    pub(crate) async fn finish(&mut self, end: End<'_>) -> Result<(), Unended> {
        if !self.session.is_whole() {
            // sqlx's COMMIT would only release what was leaked, and ours would commit it.
            self.roll_back().await;
            return Err(Unended::Failed(Error::RolledBack));
        }
        let commit = self.session.commit();
        let finish = Finish {
            claim: self.keyed.as_ref().map(|keyed| claim(self.spec, keyed)),
            fence: &self.fence,
            end,
            result_version: self.spec.result_version,
            retention: self.spec.retention,
            events: &self.events,
        };
        let mut finished = unlogged(DB::finish(self.session.connection(), &finish, commit)).await;
        if finished.is_ok() && commit == Commit::Release {
            finished = self.session.release().await;
        }
        let Err(error) = finished else {
            self.session.rest();
            return Ok(());
        };
        let fault = DB::fault(&error);
        if fault == Fault::Unknown && commit == Commit::Release {
            // The caller's COMMIT can't succeed on a connection that broke.
            return Err(Unended::Failed(Error::Store(error)));
        }
        if fault == Fault::Unknown {
            tracing::debug!(idem.scope = self.spec.scope, error = %Report(&error), "the connection broke during COMMIT");
            return Err(Unended::Failed(Error::CommitUnknown));
        }
        self.roll_back().await;
        Err(Unended::of(self.spec, fault, error))
    }
}
