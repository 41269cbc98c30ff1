//! The order of events in one call, whatever its types: claim, effect, end.

mod claiming;
mod ending;
mod pause;

use std::sync::atomic::{AtomicU64, Ordering};

use self::pause::back_off;
use crate::begin::Begin;
use crate::error::Error;
use crate::in_flight::Turn;
use crate::key::StoredKey;
use crate::outbox::Row;
use crate::session::Session;
use crate::spec::Spec;
use crate::store::{Claim, Fault, Fence, Store};

pub(crate) use self::claiming::Begun;
pub(crate) use self::ending::Unended;

/// One call: its session, its key, and its turn among the calls of this process.
#[derive(Debug)]
pub(crate) struct Run<DB: Store, B: Begin<DB::Connection, Database = DB>> {
    // Dropped before the turn: whoever is woken next must find the transaction ended, or its end under way.
    session: Session<DB, B>,
    spec: &'static Spec,
    keyed: Option<Keyed>,
    turn: Option<Turn>,
    fence: Fence,
    attempts: u32,
    pub(crate) events: Vec<Row>,
}

/// The identity of a delivery.
#[derive(Debug)]
pub(crate) struct Keyed {
    pub(crate) key: StoredKey,
    pub(crate) fingerprint: Option<StoredKey>,
}

impl<DB: Store, B: Begin<DB::Connection, Database = DB>> Run<DB, B> {
    pub(crate) fn new(
        origin: B,
        spec: &'static Spec,
        keyed: Option<Keyed>,
        undoable: bool,
    ) -> Self {
        static FENCES: AtomicU64 = AtomicU64::new(0);
        let number = FENCES.fetch_add(1, Ordering::Relaxed);
        Self {
            session: Session::new(origin),
            spec,
            keyed,
            turn: None,
            fence: Fence {
                savepoint: format!("idem_fence_{number}"),
                undoable,
            },
            attempts: 0,
            events: Vec::new(),
        }
    }

    pub(crate) const fn spec(&self) -> &'static Spec {
        self.spec
    }

    pub(crate) fn key(&self) -> Option<&StoredKey> {
        self.keyed.as_ref().map(|keyed| &keyed.key)
    }

    pub(crate) fn fingerprint(&self) -> Option<&StoredKey> {
        self.keyed.as_ref()?.fingerprint.as_ref()
    }

    /// Notes whether this delivery was one more of the same.
    pub(crate) fn record(&self, duplicate: bool) {
        let pool = self.session.pool_identity();
        self.spec.recent.record(pool, duplicate);
    }

    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        self.session.connection()
    }

    /// Whether another attempt is allowed; waits before it.
    pub(crate) async fn another_attempt(&mut self) -> bool {
        if self.attempts >= self.spec.retry || !self.session.renew() || self.session.joins() {
            return false;
        }
        self.attempts += 1;
        back_off(self.attempts).await;
        true
    }
}

const fn claim<'a>(spec: &'static Spec, keyed: &'a Keyed) -> Claim<'a> {
    Claim {
        scope: spec.scope,
        key: &keyed.key,
        fingerprint: keyed.fingerprint.as_ref(),
    }
}

fn refused(fault: Fault, error: sqlx::Error) -> Error {
    match fault {
        Fault::TimedOut => Error::InFlight,
        Fault::NotMigrated => Error::NotMigrated,
        _ => Error::Store(error),
    }
}

#[cfg(test)]
mod tests;
