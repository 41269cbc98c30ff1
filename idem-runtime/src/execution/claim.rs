//! How a call begins: its turn, then its claim, or what an earlier delivery has stored.

use tokio::time::Instant;

use super::backoff::back_off;
use super::in_flight::{KeyGuard, KeyInFlight};
use super::{Execution, admit, refused};
use crate::begin::Begin;
use crate::error::Error;
use crate::store::{BeginArgs, ErrorClass, Record, Store};
use crate::telemetry::unlogged::unlogged;

/// How often a claim that meets a conflict is tried, whatever the deadline.
const CLAIM_ATTEMPTS: u32 = 3;

/// What the caller does next.
#[derive(Debug)]
pub(crate) enum ClaimResult {
    /// Execution the handler: its key is claimed.
    Claimed,
    /// An earlier delivery stored this: do not run the handler.
    Duplicate(Record),
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Execution<DB, B> {
    pub(crate) async fn begin(&mut self) -> Result<ClaimResult, Error> {
        if let Some(identity) = &self.identity {
            admit(&self.policy, identity)?;
        }
        if self.session.joins().await.map_err(Error::Store)? {
            self.begin_joined().await
        } else {
            self.begin_own().await
        }
    }

    async fn begin_own(&mut self) -> Result<ClaimResult, Error> {
        let deadline = Instant::now() + self.policy.wait;
        let pool = self.session.pool_identity();
        let mut ask_first = self
            .recent
            .is_some_and(|recent| recent.mostly_duplicates(pool));
        let mut attempt = 0;
        loop {
            if !self.take_guard(deadline, &mut ask_first).await {
                return Err(Error::InFlight);
            }
            self.session.acquire().await.map_err(Error::Store)?;
            if ask_first && let Some(record) = self.ask().await? {
                self.session.rest();
                return Ok(ClaimResult::Duplicate(record));
            }
            if self.guard.is_none() && self.slot().is_some() {
                // The call that was waited for left no row: one of those who waited is next.
                self.session.rest();
                ask_first = false;
                continue;
            }
            attempt += 1;
            let Some(error) = self.open(deadline).await.err() else {
                return Ok(ClaimResult::Claimed);
            };
            match DB::classify(&error) {
                ErrorClass::Duplicate | ErrorClass::Conflict => {
                    if let Some(record) = self.abandon_and_ask().await? {
                        return Ok(ClaimResult::Duplicate(record));
                    }
                    // The holder rolled back, or a purge took its row: the key is free again.
                    if attempt >= CLAIM_ATTEMPTS && Instant::now() >= deadline {
                        return Err(Error::Store(error));
                    }
                    back_off(attempt).await;
                }
                class => {
                    if class != ErrorClass::Unknown {
                        self.session.roll_back().await.map_err(Error::Store)?;
                    }
                    return Err(refused(class, error));
                }
            }
        }
    }

    /// Waits for this process's other calls of the key, holding no connection. With a turn or without,
    /// `true` says to go on: a call that waited asks before it competes for the turn.
    async fn take_guard(&mut self, deadline: Instant, ask_first: &mut bool) -> bool {
        let (Some(slot), None) = (self.slot(), &self.guard) else {
            return true;
        };
        match KeyGuard::take(&slot) {
            Ok(turn) => self.guard = Some(turn),
            Err(holder) => {
                if self.policy.wait.is_zero() || !holder.ended(deadline).await {
                    return false;
                }
                *ask_first = true;
            }
        }
        true
    }

    /// What this process's calls of the key take turns for. A call on a connection takes none: it would wait
    /// holding it, so it waits in the database, bounded.
    fn slot(&self) -> Option<KeyInFlight> {
        Some(KeyInFlight {
            pool: self.session.pool_identity()?,
            scope: self.policy.scope.clone(),
            key: self.key()?.clone(),
        })
    }

    async fn begin_joined(&mut self) -> Result<ClaimResult, Error> {
        for _ in 0..CLAIM_ATTEMPTS {
            self.session.join().await.map_err(Error::Store)?;
            let Self {
                session, identity, ..
            } = self;
            let claim = identity
                .as_ref()
                .map(|identity| self.policy.claim(identity));
            let args = BeginArgs {
                claim,
                fence: self.fence.clone(),
                wait: self.policy.wait,
            };
            let found = match unlogged(DB::join(session.connection(), &args)).await {
                Ok(true) => return Ok(ClaimResult::Claimed),
                Ok(false) => match &claim {
                    Some(claim) => unlogged(DB::lookup(session.connection(), claim, true)).await,
                    None => Ok(None),
                },
                Err(error) => Err(error),
            };
            let undone = session.roll_back().await;
            match found {
                Ok(Some(record)) => {
                    undone.map_err(Error::Store)?;
                    return Ok(ClaimResult::Duplicate(record));
                }
                // A purge took the row between the two statements: the key is free again.
                Ok(None) => undone.map_err(Error::Store)?,
                Err(error) => return Err(refused(DB::classify(&error), error)),
            }
        }
        Err(Error::InFlight)
    }

    async fn open(&mut self, deadline: Instant) -> Result<(), sqlx::Error> {
        let args = BeginArgs {
            claim: self
                .identity
                .as_ref()
                .map(|identity| self.policy.claim(identity)),
            fence: self.fence.clone(),
            wait: deadline.saturating_duration_since(Instant::now()),
        };
        unlogged(DB::open(self.session.connection(), &args)).await
    }

    /// Asks for the row outside of a transaction.
    async fn ask(&mut self) -> Result<Option<Record>, Error> {
        let Some(identity) = &self.identity else {
            return Ok(None);
        };
        let claim = self.policy.claim(identity);
        let found = unlogged(DB::lookup(self.session.connection(), &claim, false)).await;
        found.map_err(|error| {
            let class = DB::classify(&error);
            if class != ErrorClass::Unknown {
                self.session.rest();
            }
            refused(class, error)
        })
    }

    async fn abandon_and_ask(&mut self) -> Result<Option<Record>, Error> {
        let claim = self
            .identity
            .as_ref()
            .map(|identity| self.policy.claim(identity));
        let found = unlogged(DB::abandon(self.session.connection(), claim.as_ref()))
            .await
            .map_err(|error| refused(DB::classify(&error), error))?;
        self.session.rest();
        Ok(found)
    }
}
