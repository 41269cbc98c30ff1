//! What handlers do, as each message says, and what they did.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use idem_runtime::{Classify, Disposition, Error, Event, Incoming, Received};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// A consumer without its guard may run for ever.
pub(crate) async fn within<T>(running: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), running)
        .await
        .expect("it does not end")
}

/// A message that says what its handler does.
#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(topic = "steps", key = "key")]
pub(crate) struct Step {
    pub(crate) key: String,
    pub(crate) n: u32,
    pub(crate) act: Act,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    Succeed,
    Fail,
    /// Before the attempt with this number.
    FailUntil(u32),
    GiveUp,
    Panic,
    /// Until the test lets it go on.
    Wait,
    /// The same, and then fail.
    WaitAndFail,
    InFlight,
    DatabaseFails,
    NotMigrated,
}

/// A message with an ID that its number gives.
pub(crate) fn step(key: &str, n: u32, act: Act) -> Incoming {
    let step = Step {
        key: key.into(),
        n,
        act,
    };
    Incoming::of_event(format!("step-{n}"), &step).unwrap()
}

/// The same, delivered again.
pub(crate) fn redelivered(key: &str, n: u32, act: Act) -> Incoming {
    let mut incoming = step(key, n, act);
    incoming.redelivered = true;
    incoming
}

/// The error of a step.
#[derive(Debug)]
pub(crate) struct StepError {
    is_permanent: bool,
}

impl StepError {
    pub(crate) const fn transient() -> Self {
        Self {
            is_permanent: false,
        }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the step failed")
    }
}

impl Classify for StepError {
    fn disposition(&self) -> Disposition {
        if self.is_permanent {
            Disposition::DeadLetter
        } else {
            Disposition::Retry
        }
    }
}

impl From<sqlx::Error> for StepError {
    fn from(error: sqlx::Error) -> Self {
        panic!("{error}")
    }
}

/// What has begun and ended, as `(number, attempt)`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stage(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seen: Mutex<Seen>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Seen {
    begun: Vec<(u32, u32)>,
    ended: Vec<u32>,
    let_go: HashSet<u32>,
}

impl Stage {
    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.seen.lock().unwrap());
        self.0.changed.send_modify(|changes| *changes += 1);
    }

    /// Numbers and attempts, in the order in which they began.
    pub(crate) fn begun(&self) -> Vec<(u32, u32)> {
        self.0.seen.lock().unwrap().begun.clone()
    }

    /// The numbers of what ended, in that order.
    pub(crate) fn ended(&self) -> Vec<u32> {
        self.0.seen.lock().unwrap().ended.clone()
    }

    /// Lets one that waits go on.
    pub(crate) fn let_go(&self, n: u32) {
        self.change(|seen| {
            seen.let_go.insert(n);
        });
    }

    async fn until(&self, mut is_so: impl FnMut(&Seen) -> bool) {
        let mut changed = self.0.changed.subscribe();
        within(async {
            loop {
                changed.borrow_and_update();
                if is_so(&self.0.seen.lock().unwrap()) {
                    return;
                }
                changed.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Waits until so many attempts have begun.
    pub(crate) async fn until_begun(&self, attempts: usize) {
        self.until(|seen| seen.begun.len() >= attempts).await;
    }

    /// Waits until so many attempts have ended.
    pub(crate) async fn until_ended(&self, attempts: usize) {
        self.until(|seen| seen.ended.len() >= attempts).await;
    }

    /// Does what the message says.
    pub(crate) async fn play(&self, received: &Received<Step>) -> Result<(), Error<StepError>> {
        let step = &received.data;
        self.change(|seen| seen.begun.push((step.n, received.attempt)));
        let fail = |is_permanent| {
            Err(Error::Handler {
                error: StepError { is_permanent },
                replayed: false,
            })
        };
        let result = match step.act {
            Act::Fail => fail(false),
            Act::FailUntil(attempt) if received.attempt < attempt => fail(false),
            Act::Succeed | Act::FailUntil(_) => Ok(()),
            Act::GiveUp => fail(true),
            Act::Panic => panic!("as the message says"),
            Act::Wait => {
                self.until(|seen| seen.let_go.contains(&step.n)).await;
                Ok(())
            }
            Act::WaitAndFail => {
                self.until(|seen| seen.let_go.contains(&step.n)).await;
                fail(false)
            }
            Act::InFlight => Err(Error::InFlight),
            Act::DatabaseFails => Err(Error::Store(sqlx::Error::PoolTimedOut)),
            Act::NotMigrated => Err(Error::NotMigrated),
        };
        self.change(|seen| seen.ended.push(step.n));
        result
    }
}
