//! What handlers do, as each message says, and what they did.

use std::collections::HashSet;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use idem_runtime::{Classify, Disposition, Event, Received};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::conformance::failure::{Result, violated};

/// A message that says what its handler does.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(topic = "idem.conformance", type = "ConformanceStep")]
pub struct Step {
    pub(super) n: u32,
    pub(super) act: Act,
    /// To make it large.
    pub(super) padding: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Act {
    Succeed,
    Fail,
    /// Before the attempt with this number.
    FailUntil(u32),
    /// Fails, and at the attempt with this number waits first until it is let go.
    FailAndWaitAt(u32),
    GiveUp,
    Panic,
    /// Until it is let go.
    Wait,
    /// For ever: the process ends in it.
    Hang,
}

/// The error of a step. Handlers of the databases name it in their own interface.
#[allow(
    unreachable_pub,
    reason = "without a database there is no handler that makes it public"
)]
#[derive(Debug)]
pub struct StepError {
    disposition: Disposition,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the step failed")
    }
}

impl Classify for StepError {
    fn disposition(&self) -> Disposition {
        self.disposition
    }
}

/// An outage of the database shows as such an error in the body.
impl From<sqlx::Error> for StepError {
    fn from(_: sqlx::Error) -> Self {
        Self {
            disposition: Disposition::Retry,
        }
    }
}

/// What has begun and ended, over all instances of a case. Its clones are one.
#[derive(Clone, Debug, Default)]
pub struct Script(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seen: Mutex<Seen>,
    changed: watch::Sender<u64>,
}

/// What handlers have done.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Number and attempt, in the order in which they began.
    pub(super) begun: Vec<(u32, u32)>,
    /// The numbers of what succeeded, in that order.
    pub(super) succeeded: Vec<u32>,
    let_go: HashSet<u32>,
}

impl Script {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.0.changed.send_modify(|changes| *changes += 1);
    }

    /// How often the handler of this message has begun.
    pub(super) fn begun(&self, n: u32) -> usize {
        let seen = self.seen();
        seen.begun.iter().filter(|begun| begun.0 == n).count()
    }

    /// How often it has succeeded.
    pub(super) fn succeeded(&self, n: u32) -> usize {
        let seen = self.seen();
        seen.succeeded.iter().filter(|done| **done == n).count()
    }

    /// The attempts that the handler of this message was told.
    pub(super) fn attempts(&self, n: u32) -> Vec<u32> {
        let seen = self.seen();
        let of = seen.begun.iter().filter(|begun| begun.0 == n);
        of.map(|(_, attempt)| *attempt).collect()
    }

    /// Lets one that waits go on.
    pub(super) fn let_go(&self, n: u32) {
        self.change(|seen| {
            seen.let_go.insert(n);
        });
    }

    /// Waits until that is so.
    pub(super) async fn until(
        &self,
        limit: Duration,
        what: &str,
        is_so: impl Fn(&Seen) -> bool,
    ) -> Result {
        if timeout(limit, self.wait(is_so)).await.is_ok() {
            return Ok(());
        }
        let seen = self.seen();
        let (begun, succeeded) = (seen.begun.len(), seen.succeeded.len());
        violated(format!(
            "not within {limit:?}: {what}; {begun} attempts have begun, and {succeeded} succeeded"
        ))
    }

    async fn wait(&self, is_so: impl Fn(&Seen) -> bool) {
        let mut changed = self.0.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if is_so(&self.seen()) {
                return;
            }
            if changed.changed().await.is_err() {
                unreachable!("the sender is this script's own");
            }
        }
    }

    /// What a handler does first: it waits, if the message says so.
    pub(super) async fn begin(&self, received: &Received<Step>) {
        let (n, attempt) = (received.data.n, received.attempt);
        self.change(|seen| seen.begun.push((n, attempt)));
        let is_let_go = |seen: &Seen| seen.let_go.contains(&n);
        match received.data.act {
            Act::Wait => self.wait(is_let_go).await,
            Act::FailAndWaitAt(place) if attempt == place => self.wait(is_let_go).await,
            Act::Hang => pending().await,
            _ => {}
        }
    }

    /// How it ends.
    pub(super) fn end(&self, received: &Received<Step>) -> std::result::Result<(), StepError> {
        let fail = |disposition| Err(StepError { disposition });
        match received.data.act {
            Act::FailUntil(first) if received.attempt < first => fail(Disposition::Retry),
            Act::Fail | Act::FailAndWaitAt(_) => fail(Disposition::Retry),
            Act::GiveUp => fail(Disposition::DeadLetter),
            Act::Panic => panic!("as the message says"),
            Act::Succeed | Act::FailUntil(_) | Act::Wait | Act::Hang => {
                self.change(|seen| seen.succeeded.push(received.data.n));
                Ok(())
            }
        }
    }
}
