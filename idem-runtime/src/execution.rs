//! The order of events in one call, whatever its types: claim, effect, end.

mod backoff;
mod batch;
mod claim;
pub(crate) mod conflicts;
mod dropped;
mod finish;
mod in_flight;
mod lookup;
mod member;
mod policy;
mod pool_state;
mod recent;
mod session;

use uuid::Uuid;

use self::in_flight::KeyGuard;
use self::session::Session;
use crate::begin::Begin;
use crate::contract::shared;
use crate::error::Error;
use crate::identity::Identity;
use crate::key::StoredKey;
use crate::store::{Claim, Fence, Store};

pub(crate) use self::backoff::back_off;
pub(crate) use self::batch::{Batch, Place};
pub(crate) use self::claim::ClaimResult;
pub(crate) use self::finish::FinishError;
pub(crate) use self::policy::Policy;
pub(crate) use self::recent::Recent;

/// One call: its session, its identity, and its place among the calls of this process.
#[derive(Debug)]
pub(crate) struct Execution<DB: Store, B: Begin<DB::Connection, Database = DB>> {
    // Dropped before the guard: the call that is woken next must find the transaction ended, or its
    // end under way.
    session: Session<DB, B>,
    policy: Policy,
    recent: Option<&'static Recent>,
    identity: Option<Identity>,
    guard: Option<KeyGuard>,
    fence: Fence,
    attempts: u32,
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Execution<DB, B> {
    /// `undoable`: whether the effects must be undoable while the claim stays.
    pub(crate) fn new(
        origin: B,
        policy: Policy,
        identity: Option<Identity>,
        undoable: bool,
    ) -> Self {
        Self {
            session: Session::new(origin),
            policy,
            recent: None,
            identity,
            guard: None,
            fence: Fence {
                savepoint: String::new(),
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

    /// The namespace of the database, once the call has begun.
    pub(crate) fn namespace(&self) -> Option<Uuid> {
        self.session.home().map(|home| home.namespace)
    }

    pub(crate) fn fingerprint(&self) -> Option<&StoredKey> {
        self.identity.as_ref()?.fingerprint.as_ref()
    }

    /// Notes whether this delivery was a duplicate.
    pub(crate) fn note(&self, duplicate: bool) {
        if let Some(recent) = self.recent {
            let pool = self.session.pool().map(|pool| pool.number());
            recent.note(pool, duplicate);
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

/// Whether a call may go on to claim.
fn admit(policy: &Policy, identity: &Identity) -> Result<(), Error> {
    if identity.is_empty() {
        return Err(Error::EmptyKey);
    }
    match shared(&policy.scope) {
        Some(scopes) => Err(Error::DuplicateScopes(scopes)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
