//! The order of events in one call, whatever its types: claim, effect, end.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng as _;
use tokio::time::Instant;

use crate::begin::Begin;
use crate::error::Error;
use crate::in_flight::{Slot, Turn};
use crate::key::StoredKey;
use crate::outbox::Row;
use crate::session::Session;
use crate::spec::Spec;
use crate::store::{Claim, Commit, End, Fault, Fence, Finish, Opening, Record, Store};
use crate::telemetry::Report;
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

    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        self.session.connection()
    }

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
        let mut ask_first = self.spec.recent.mostly_duplicates();
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

/// Full jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): 5 ms doubled each time, at most 1 s.
async fn back_off(attempt: u32) {
    let millis = rand::rng().random_range(0..=longest_pause(attempt));
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Milliseconds.
fn longest_pause(attempt: u32) -> u64 {
    (5 << attempt.min(8)).min(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_doubles_up_to_a_second() {
        let pauses = [1, 2, 3, 7, 8, 9, u32::MAX].map(longest_pause);
        assert_eq!(pauses, [10, 20, 40, 640, 1_000, 1_000, 1_000]);
    }

    /// Cure: the attempts are counted. Without a transaction of its own a call has none but the first.
    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn a_call_has_as_many_attempts_more_as_its_handler_says() {
        use sqlx::{Connection as _, SqliteConnection, SqlitePool};

        static SPEC: Spec = Spec::new("run.retried").retry(2);
        let pool = SqlitePool::connect_lazy("sqlite::memory:").unwrap();
        let mut run = Run::new(&pool, &SPEC, None, false);
        for allowed in [true, true, false, false] {
            assert_eq!(run.another_attempt().await, allowed);
        }
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let mut tx = conn.begin().await.unwrap();
        let mut joined = Run::new(&mut tx, &SPEC, None, false);
        assert!(!joined.another_attempt().await);
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn a_call_that_has_no_connection_has_nothing_to_roll_back() {
        static SPEC: Spec = Spec::new("run.at_rest");
        let pool = sqlx::SqlitePool::connect_lazy("sqlite::memory:").unwrap();
        let mut run = Run::new(&pool, &SPEC, None, false);
        run.roll_back().await;
        assert!(run.session.is_at_rest());
    }

    #[test]
    fn a_fault_is_the_error_that_a_caller_can_act_on() {
        let refused = |fault| refused(fault, sqlx::Error::RowNotFound);
        assert!(matches!(refused(Fault::TimedOut), Error::InFlight));
        assert!(matches!(refused(Fault::NotMigrated), Error::NotMigrated));
        assert!(matches!(refused(Fault::Refused), Error::Store(_)));
    }

    #[test]
    fn what_ended_a_transaction_is_said_without_what_the_database_quotes() {
        let error = || sqlx::Error::Protocol("secret".into());
        for unended in [
            Unended::Conflict(error()),
            Unended::Failed(Error::Store(error())),
        ] {
            assert_eq!(unended.to_string(), "the server broke the protocol");
        }
        let rolled_back = Unended::Failed(Error::RolledBack).to_string();
        assert!(rolled_back.contains("no longer whole"), "{rolled_back}");
    }
}
