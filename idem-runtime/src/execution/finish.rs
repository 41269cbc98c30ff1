//! How a transaction ends: with the end of its call, without its effects, or by an error.

use std::fmt;

use super::session::Session;
use super::{Execution, Policy};
use crate::begin::Begin;
use crate::error::Error;
use crate::outbox::Row;
use crate::store::{Commit, End, EndedClaim, ErrorClass, Fence, FinishArgs, Home, Store};
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
        roll_back(&mut self.session, &self.policy.scope).await;
    }

    /// Undoes the effects and keeps the claim. After an error all is rolled back.
    pub(crate) async fn undo_effects(&mut self) -> Result<(), FinishError> {
        if self.session.member().is_some() {
            // The others of its batch have theirs above the same fence. Run alone, it can.
            return Err(FinishError::Failed(Error::RolledBack));
        }
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
    pub(crate) async fn finish(
        &mut self,
        end: End<'_>,
        events: Vec<Row>,
    ) -> Result<(), FinishError> {
        if self.session.member().is_some() {
            return self.finish_member(end, events).await;
        }
        let Self {
            session,
            policy,
            fence,
            identity,
            ..
        } = self;
        let ended = identity.as_ref().map(|identity| EndedClaim {
            claim: policy.claim(identity),
            end,
        });
        let whole = Whole {
            policy,
            fence,
            shared: false,
        };
        whole.end(session, ended.as_slice(), &events).await?;
        self.tell_stored();
        Ok(())
    }
}

/// A transaction that has done its work.
pub(super) struct Whole<'a> {
    pub(super) policy: &'a Policy,
    pub(super) fence: &'a Fence,
    /// Whether several bodies ran in it.
    pub(super) shared: bool,
}

impl Whole<'_> {
    /// Stores the ends of all claims and the events, and commits if the transaction is ours.
    pub(super) async fn end<DB: Store, B: Begin<DB::Connection, Database = DB>>(
        &self,
        session: &mut Session<DB, B>,
        ends: &[EndedClaim<'_>],
        events: &[Row],
    ) -> Result<(), FinishError> {
        let scope = &*self.policy.scope;
        if !session.is_whole().await {
            // sqlx's COMMIT would only release what was leaked, and ours would commit it.
            roll_back(session, scope).await;
            return Err(FinishError::Failed(Error::RolledBack));
        }
        let commit = session.commit();
        let home = session.home().cloned();
        let args = FinishArgs {
            home: home.as_deref().expect("a call that began knows its home"),
            ends,
            fence: self.fence,
            result_version: self.policy.result_version,
            events,
            shared: self.shared,
        };
        let mut finished = unlogged(DB::finish(session.connection(), &args, commit)).await;
        if finished.is_ok() && commit == Commit::Release {
            finished = session.release().await;
        }
        let Err(error) = finished else {
            session.disarm();
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
            tracing::debug!(idem.scope = scope, error = %Redacted(&error), "the connection broke during COMMIT");
            return Err(FinishError::Failed(Error::CommitUnknown));
        }
        roll_back(session, scope).await;
        Err(FinishError::of(scope, home.as_deref(), class, error))
    }
}

/// Ends the transaction without its effects. Never fails: what can't be rolled back is closed.
async fn roll_back<DB: Store, B: Begin<DB::Connection, Database = DB>>(
    session: &mut Session<DB, B>,
    scope: &str,
) {
    if session.is_idle() {
        return;
    }
    if !session.is_whole().await && session.commit() != Commit::Release {
        // A transaction that the handler leaked stands above ours: the connection is closed.
        return;
    }
    if let Err(error) = session.roll_back().await {
        tracing::debug!(idem.scope = scope, error = %Redacted(&error), "rollback failed, the connection is closed");
    }
}
