//! The order of events in one call, whatever its types: claim, effect, end.

mod backoff;
mod claim;
mod finish;
mod in_flight;
mod policy;
mod recent;
mod session;

use std::sync::atomic::{AtomicU64, Ordering};

use self::in_flight::KeyGuard;
use self::session::Session;
use crate::begin::Begin;
use crate::error::Error;
use crate::key::StoredKey;
use crate::store::{Claim, ErrorClass, Fence, Store};

pub(crate) use self::backoff::back_off;
pub(crate) use self::claim::ClaimResult;
pub(crate) use self::finish::FinishError;
pub(crate) use self::policy::Policy;
pub(crate) use self::recent::Recent;

/// One call: its session, its identity, and its place among the calls of this process.
#[derive(Debug)]
pub(crate) struct Execution<DB: Store, B: Begin<DB::Connection, Database = DB>> {
    // Dropped before the guard: whoever is woken next must find the transaction ended, or its end
    // under way.
    session: Session<DB, B>,
    policy: Policy,
    recent: Option<&'static Recent>,
    identity: Option<Identity>,
    guard: Option<KeyGuard>,
    fence: Fence,
    attempts: u32,
}

/// The identity of a delivery.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) key: StoredKey,
    pub(crate) fingerprint: Option<StoredKey>,
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Execution<DB, B> {
    /// `undoable`: whether the effects must be undoable while the claim stays.
    pub(crate) fn new(
        origin: B,
        policy: Policy,
        identity: Option<Identity>,
        undoable: bool,
    ) -> Self {
        static FENCES: AtomicU64 = AtomicU64::new(0);
        let number = FENCES.fetch_add(1, Ordering::Relaxed);
        Self {
            session: Session::new(origin),
            policy,
            recent: None,
            identity,
            guard: None,
            fence: Fence {
                savepoint: format!("idem_fence_{number}"),
                undoable,
            },
            attempts: 0,
        }
    }

    /// Remembers in `recent` whether deliveries were duplicates, and asks first while many are.
    pub(crate) const fn learning(mut self, recent: &'static Recent) -> Self {
        self.recent = Some(recent);
        self
    }

    pub(crate) const fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn key(&self) -> Option<&StoredKey> {
        self.identity.as_ref().map(|identity| &identity.key)
    }

    pub(crate) fn fingerprint(&self) -> Option<&StoredKey> {
        self.identity.as_ref()?.fingerprint.as_ref()
    }

    /// Notes whether this delivery was a duplicate.
    pub(crate) fn note(&self, duplicate: bool) {
        if let Some(recent) = self.recent {
            recent.note(self.session.pool_identity(), duplicate);
        }
    }

    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        self.session.connection()
    }

    /// Whether another attempt is allowed; waits before it.
    pub(crate) async fn another_attempt(&mut self) -> bool {
        if self.attempts >= self.policy.retry || !self.session.renew() {
            return false;
        }
        if self.session.joins().await.unwrap_or(true) {
            return false;
        }
        self.attempts += 1;
        back_off(self.attempts).await;
        true
    }
}

impl Policy {
    fn claim<'a>(&'a self, identity: &'a Identity) -> Claim<'a> {
        Claim {
            scope: &self.scope,
            key: &identity.key,
            fingerprint: identity.fingerprint.as_ref(),
        }
    }
}

fn refused(class: ErrorClass, error: sqlx::Error) -> Error {
    match class {
        ErrorClass::TimedOut => Error::InFlight,
        ErrorClass::NotMigrated => Error::NotMigrated,
        ErrorClass::TooLarge { size, limit } => Error::TooLarge { size, limit },
        ErrorClass::EventConflict => Error::EventConflict,
        _ => Error::Store(error),
    }
}

#[cfg(test)]
mod tests;
