//! How a call begins: its turn, then its claim, or what an earlier delivery has stored.

use tokio::time::Instant;

use super::pause::back_off;
use super::{Run, claim, refused};
use crate::begin::Begin;
use crate::error::Error;
use crate::in_flight::{Slot, Turn};
use crate::store::{Fault, Opening, Record, Store};
use crate::unlogged::unlogged;

/// How often a claim that meets a conflict is tried, whatever the deadline.
const CLAIM_ATTEMPTS: u32 = 3;

/// What the caller does next.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Run the handler: its key is claimed.
    Claimed,
    /// Don't: this was stored by an earlier delivery.
    Replay(Record),
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Run<DB, B> {
    pub(crate) async fn begin(&mut self) -> Result<Begun, Error> {
        self.events.clear();
        if self.session.joins() {
            self.begin_joined().await
        } else {
            self.begin_own().await
        }
    }

    async fn begin_own(&mut self) -> Result<Begun, Error> {
        let deadline = Instant::now() + self.spec.wait;
        let mut ask_first = self
            .spec
            .recent
            .mostly_duplicates(self.session.pool_identity());
        let mut attempt = 0;
        loop {
            if !self.take_turn(deadline, &mut ask_first).await {
                return Err(Error::InFlight);
            }
            self.session.acquire().await.map_err(Error::Store)?;
            if ask_first && let Some(record) = self.ask().await? {
                self.session.rest();
                return Ok(Begun::Replay(record));
            }
            if self.turn.is_none() && self.slot().is_some() {
                // The call that was waited for left no row: one of those who waited is next.
                self.session.rest();
                ask_first = false;
                continue;
            }
            attempt += 1;
            let Some(error) = self.open(deadline).await.err() else {
                return Ok(Begun::Claimed);
            };
            match DB::fault(&error) {
                Fault::Duplicate | Fault::Conflict => {
                    if let Some(record) = self.abandon_and_ask().await? {
                        return Ok(Begun::Replay(record));
                    }
                    // The holder rolled back, or a purge took its row: the key is free again.
                    if attempt >= CLAIM_ATTEMPTS && Instant::now() >= deadline {
                        return Err(Error::Store(error));
                    }
                    back_off(attempt).await;
                }
                fault => {
                    if fault != Fault::Unknown {
                        self.session.roll_back().await.map_err(Error::Store)?;
                    }
                    return Err(refused(fault, error));
                }
            }
        }
    }

    /// Waits for this process's other calls of the key, holding no connection. With a turn or without,
    /// `true` says to go on: a call that waited asks before it competes for the turn.
    async fn take_turn(&mut self, deadline: Instant, ask_first: &mut bool) -> bool {
        let (Some(slot), None) = (self.slot(), &self.turn) else {
            return true;
        };
        match Turn::take(&slot) {
            Ok(turn) => self.turn = Some(turn),
            Err(holder) => {
                if self.spec.wait.is_zero() || !holder.ended(deadline).await {
                    return false;
                }
                *ask_first = true;
            }
        }
        true
    }

    /// What this process's calls of the key take turns for. A call on a connection takes none: it would wait
    /// holding it, so it waits in the database, bounded.
    fn slot(&self) -> Option<Slot> {
        Some(Slot {
            pool: self.session.pool_identity()?,
            scope: self.spec.scope,
            key: self.key()?.clone(),
        })
    }

    async fn begin_joined(&mut self) -> Result<Begun, Error> {
        for _ in 0..CLAIM_ATTEMPTS {
            self.session.join().await.map_err(Error::Store)?;
            let Self { session, keyed, .. } = self;
            let claim = keyed.as_ref().map(|keyed| claim(self.spec, keyed));
            let opening = Opening {
                claim,
                fence: self.fence.clone(),
                wait: self.spec.wait,
            };
            let found = match unlogged(DB::join(session.connection(), &opening)).await {
                Ok(true) => return Ok(Begun::Claimed),
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
                    return Ok(Begun::Replay(record));
                }
                // A purge took the row between the two statements: the key is free again.
                Ok(None) => undone.map_err(Error::Store)?,
                Err(error) => return Err(refused(DB::fault(&error), error)),
            }
        }
        Err(Error::InFlight)
    }

    async fn open(&mut self, deadline: Instant) -> Result<(), sqlx::Error> {
        let opening = Opening {
            claim: self.keyed.as_ref().map(|keyed| claim(self.spec, keyed)),
            fence: self.fence.clone(),
            wait: deadline.saturating_duration_since(Instant::now()),
        };
        unlogged(DB::open(self.session.connection(), &opening)).await
    }

    /// Asks for the row outside of a transaction.
    async fn ask(&mut self) -> Result<Option<Record>, Error> {
        let Some(keyed) = &self.keyed else {
            return Ok(None);
        };
        let claim = claim(self.spec, keyed);
        let found = unlogged(DB::lookup(self.session.connection(), &claim, false)).await;
        found.map_err(|error| {
            let fault = DB::fault(&error);
            if fault != Fault::Unknown {
                self.session.rest();
            }
            refused(fault, error)
        })
    }

    async fn abandon_and_ask(&mut self) -> Result<Option<Record>, Error> {
        let claim = self.keyed.as_ref().map(|keyed| claim(self.spec, keyed));
        let found = unlogged(DB::abandon(self.session.connection(), claim.as_ref()))
            .await
            .map_err(|error| refused(DB::fault(&error), error))?;
        self.session.rest();
        Ok(found)
    }
}
