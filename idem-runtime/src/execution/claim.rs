//! How a call begins: its turn, then its claim, or what an earlier delivery has stored.

use std::sync::Arc;

use tokio::time::Instant;

use super::backoff::back_off_until;
use super::in_flight::{self, KeyInFlight, WaitResult};
use super::{Execution, admit};
use crate::begin::Begin;
use crate::error::Error;
use crate::store::{BeginArgs, ErrorClass, Home, Opening, Record, Store};
use crate::telemetry::unlogged::unlogged;

/// How often a claim that meets a conflict is tried, whatever the deadline.
pub(super) const CLAIM_ATTEMPTS: u32 = 3;

/// What the caller does next.
#[derive(Debug)]
pub(crate) enum ClaimResult {
    /// The key is claimed: run the handler.
    Claimed,
    /// An earlier delivery stored this: do not run the handler.
    Duplicate(Record),
}

/// What to do about an error of a statement outside of the call's transaction.
pub(super) enum Recovery {
    /// The connection was replaced, or what was known of it forgotten.
    TryAgain,
    Fail(Error),
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Execution<DB, B> {
    pub(crate) async fn begin(&mut self) -> Result<ClaimResult, Error> {
        if let Some(identity) = &self.identity {
            admit(&self.policy, identity)?;
        }
        if self.session.member().is_some() {
            return Ok(self.begin_member());
        }
        if self.session.joins().await.map_err(Error::Store)? {
            self.begin_joined().await
        } else {
            self.begin_own().await
        }
    }

    async fn begin_own(&mut self) -> Result<ClaimResult, Error> {
        let deadline = Instant::now() + self.policy.wait;
        let mut ask_first = self.expects_duplicates();
        let mut replaced = 0;
        let mut attempt = 0;
        loop {
            let stored = self.take_turn(deadline).await?;
            self.session.acquire().await.map_err(Error::Store)?;
            let found = match self.session.find_home().await {
                Ok(home) if stored || ask_first => match self.ask(&home).await {
                    Ok(record) => Ok((home, record)),
                    // Another writer is in the way. The claim waits for it, and finds the answer.
                    Err(error) if DB::classify(&error) == ErrorClass::Conflict => Ok((home, None)),
                    Err(error) => Err(error),
                },
                found => found.map(|home| (home, None)),
            };
            let home = match found {
                Ok((_, Some(record))) => {
                    self.session.disarm();
                    return Ok(self.duplicate(record));
                }
                Ok((_, None)) if stored => {
                    // The row is gone again, or could not be read: claim after all.
                    self.session.disarm();
                    ask_first = false;
                    continue;
                }
                Ok((home, None)) => home,
                Err(error) => match self.recover(error, &mut replaced) {
                    Recovery::TryAgain => continue,
                    Recovery::Fail(error) => return Err(error),
                },
            };
            attempt += 1;
            let Some(error) = self.open(&home, deadline).await.err() else {
                return Ok(ClaimResult::Claimed);
            };
            match DB::classify(&error) {
                ErrorClass::Duplicate | ErrorClass::Conflict => {
                    if let Some(record) = self.abandon_and_ask(&home).await? {
                        return Ok(self.duplicate(record));
                    }
                    // The holder rolled back, or a purge took its row: the key is free again.
                    if attempt >= CLAIM_ATTEMPTS && Instant::now() >= deadline {
                        return Err(Error::Store(error));
                    }
                    back_off_until(attempt, deadline).await;
                }
                ErrorClass::ForeignTransaction => {
                    if let Recovery::Fail(error) = self.recover(error, &mut replaced) {
                        return Err(error);
                    }
                }
                ErrorClass::OtherNamespace if attempt < CLAIM_ATTEMPTS => {
                    self.session.roll_back().await.map_err(Error::Store)?;
                    self.session.forget_home();
                }
                class => {
                    if class != ErrorClass::Unknown {
                        self.session.roll_back().await.map_err(Error::Store)?;
                    }
                    if class == ErrorClass::NotMigrated {
                        self.session.forget_home();
                    }
                    return Err(class.into_error(error, Some(&home)));
                }
            }
        }
    }

    async fn begin_joined(&mut self) -> Result<ClaimResult, Error> {
        self.check_isolation().await?;
        for _ in 0..CLAIM_ATTEMPTS {
            let home = match unlogged(self.session.find_home()).await {
                Ok(home) => home,
                Err(error) => return Err(DB::classify(&error).into_error(error, None)),
            };
            self.session.join().await.map_err(Error::Store)?;
            self.name_fence();
            let Self {
                session,
                policy,
                identity,
                fence,
                ..
            } = self;
            let claim = identity.as_ref().map(|identity| policy.claim(identity));
            let args = BeginArgs {
                home: &home,
                isolation: None,
                opening: claim.map_or(Opening::Keyless, Opening::Claim),
                fence,
                wait: policy.wait,
                retention: policy.retention,
            };
            let found = match unlogged(DB::join(session.connection(), &args)).await {
                Ok(true) => return Ok(ClaimResult::Claimed),
                Ok(false) => match &claim {
                    Some(claim) => {
                        unlogged(DB::lookup(session.connection(), &home, claim, true)).await
                    }
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
                Err(error) => match DB::classify(&error) {
                    ErrorClass::OtherNamespace => {
                        undone.map_err(Error::Store)?;
                        session.forget_home();
                    }
                    class => return Err(class.into_error(error, Some(&home))),
                },
            }
        }
        Err(Error::InFlight)
    }

    /// Whether the caller's transaction is strict enough.
    pub(super) async fn check_isolation(&mut self) -> Result<(), Error> {
        let Some(level) = self.policy.isolation else {
            return Ok(());
        };
        let is_isolated = DB::is_isolated(self.session.connection(), level);
        if is_isolated.await.map_err(Error::Store)? {
            return Ok(());
        }
        Err(Error::IsolationTooWeak {
            needed: level.name(),
        })
    }

    fn expects_duplicates(&self) -> bool {
        let pool = self.session.pool().map(|pool| pool.number());
        self.recent
            .is_some_and(|recent| recent.mostly_duplicates(pool))
    }

    /// Waits for this process's earlier calls of the key, holding no connection. `true`: one of
    /// them stored its end.
    ///
    /// A call on a connection takes no turn, since it would hold the connection while it waits. It
    /// waits in the database, for a bounded time.
    async fn take_turn(&mut self, deadline: Instant) -> Result<bool, Error> {
        let (Some(pool), Some(identity), None) = (self.session.pool(), &self.identity, &self.guard)
        else {
            return Ok(false);
        };
        let key = KeyInFlight {
            scope: self.policy.scope.clone(),
            key: identity.key.clone(),
        };
        match in_flight::take(&pool.in_flight, key, deadline).await {
            WaitResult::Acquired(guard) => {
                self.guard = Some(guard);
                Ok(false)
            }
            WaitResult::Stored => Ok(true),
            WaitResult::TimedOut => Err(Error::InFlight),
        }
    }

    fn duplicate(&mut self, record: Record) -> ClaimResult {
        self.tell_stored();
        ClaimResult::Duplicate(record)
    }

    /// After an error of a statement that began no transaction of this call.
    pub(super) fn recover(&mut self, error: sqlx::Error, replaced: &mut u32) -> Recovery {
        match DB::classify(&error) {
            ErrorClass::ForeignTransaction => {
                if !self.session.renew() {
                    // The transaction is the caller's: leave it alone.
                    self.session.disarm();
                    return Recovery::Fail(Error::ForeignTransaction);
                }
                tracing::warn!(
                    idem.scope = &*self.policy.scope,
                    "a connection of the pool was in a transaction that sqlx did not begin, and is \
                     closed; look for raw SQL that begins a transaction and never ends it"
                );
                *replaced += 1;
                if *replaced > self.session.connections() {
                    return Recovery::Fail(Error::ForeignTransaction);
                }
                Recovery::TryAgain
            }
            class => {
                if class != ErrorClass::Unknown {
                    self.session.disarm();
                }
                if class == ErrorClass::NotMigrated {
                    self.session.forget_home();
                }
                Recovery::Fail(class.into_error(error, None))
            }
        }
    }

    /// The name of the savepoint follows from the depth of its transaction.
    pub(super) fn name_fence(&mut self) {
        self.fence.savepoint = format!("idem_fence_{}", self.session.own_depth());
    }

    async fn open(&mut self, home: &Home, deadline: Instant) -> Result<(), sqlx::Error> {
        self.name_fence();
        let args = BeginArgs {
            home,
            isolation: self.policy.isolation,
            opening: self.identity.as_ref().map_or(Opening::Keyless, |identity| {
                Opening::Claim(self.policy.claim(identity))
            }),
            fence: &self.fence,
            wait: deadline.saturating_duration_since(Instant::now()),
            retention: self.policy.retention,
        };
        unlogged(DB::open(self.session.connection(), &args)).await
    }

    /// Asks for the row outside of a transaction.
    pub(super) async fn ask(&mut self, home: &Arc<Home>) -> Result<Option<Record>, sqlx::Error> {
        let Some(identity) = &self.identity else {
            return Ok(None);
        };
        let claim = self.policy.claim(identity);
        unlogged(DB::lookup(self.session.connection(), home, &claim, false)).await
    }

    pub(super) async fn abandon_and_ask(&mut self, home: &Home) -> Result<Option<Record>, Error> {
        let claim = self
            .identity
            .as_ref()
            .map(|identity| self.policy.claim(identity));
        let lookup = claim.as_ref().map(|claim| (home, claim));
        let found = unlogged(DB::abandon(self.session.connection(), lookup))
            .await
            .map_err(|error| DB::classify(&error).into_error(error, Some(home)))?;
        self.session.disarm();
        Ok(found)
    }
}
