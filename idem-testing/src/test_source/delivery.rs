//! A delivery, as the test and as the consumer see it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use idem_runtime::{Delivery, Incoming, Partition, SettleError};
use tokio::sync::watch;
use tokio::time::timeout;

/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(30);

/// How a delivery was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// As handled.
    Acked,
    /// To be delivered again after this time.
    GivenBack(Duration),
    /// For this reason.
    Rejected(String),
    /// Not at all: the consumer has forgotten it, as it does with what is lost or revoked.
    Dropped,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Fate {
    settled: Option<Settled>,
    extended: usize,
    is_lost: bool,
    is_unconfirmed: bool,
}

/// A delivery, as the test sees it.
#[derive(Clone, Debug)]
pub struct Delivered {
    pub(super) fate: Arc<watch::Sender<Fate>>,
}

impl Delivered {
    /// How it was settled so far.
    pub fn settled(&self) -> Option<Settled> {
        self.fate.borrow().settled.clone()
    }

    /// Waits until it is settled, and says how.
    ///
    /// # Panics
    /// If that does not happen within 30 s of real time.
    pub async fn wait_settled(&self) -> Settled {
        let mut fate = self.fate.subscribe();
        let settled = fate.wait_for(|fate| fate.settled.is_some());
        let settled = within(settled).await.and_then(Result::ok);
        let settled = settled.and_then(|fate| fate.settled.clone());
        settled.expect("the delivery is not settled")
    }

    /// Waits until it is settled, in this way.
    ///
    /// # Panics
    /// If it is settled in another way, or not within 30 s of real time.
    pub async fn assert_settled(&self, expected: Settled) {
        assert_eq!(self.wait_settled().await, expected);
    }

    /// How often its deadline was extended.
    pub fn extended(&self) -> usize {
        self.fate.borrow().extended
    }

    /// Waits until its deadline was extended so often.
    ///
    /// # Panics
    /// If that does not happen within 30 s of real time.
    pub async fn wait_extended(&self, times: usize) {
        let mut fate = self.fate.subscribe();
        let extended = fate.wait_for(|fate| fate.extended >= times);
        assert!(
            within(extended).await.is_some(),
            "the deadline was extended {} times and not {times}",
            self.extended()
        );
    }

    /// Takes it back: the consumer learns that when it extends or settles it.
    pub fn lose(&self) {
        self.fate.send_modify(|fate| fate.is_lost = true);
    }

    /// Leaves the consumer in doubt whether it is settled.
    pub fn never_confirm(&self) {
        self.fate.send_modify(|fate| fate.is_unconfirmed = true);
    }
}

/// A delivery, as the consumer has it.
#[derive(Debug)]
pub struct TestDelivery {
    pub(super) incoming: Incoming,
    pub(super) partition: Partition,
    pub(super) deadline: Option<Duration>,
    pub(super) fate: Arc<watch::Sender<Fate>>,
}

impl TestDelivery {
    fn settle(self, how: Settled) -> Result<(), SettleError> {
        let is = self.fate.borrow().clone();
        if is.is_lost {
            return Err(SettleError::lost("the test took it back"));
        }
        self.fate.send_modify(|fate| fate.settled = Some(how));
        if is.is_unconfirmed {
            return Err(SettleError::unconfirmed("the test confirms nothing"));
        }
        Ok(())
    }
}

impl Drop for TestDelivery {
    fn drop(&mut self) {
        self.fate.send_modify(|fate| {
            fate.settled.get_or_insert(Settled::Dropped);
        });
    }
}

impl Delivery for TestDelivery {
    fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    fn partition(&self) -> Partition {
        self.partition
    }

    fn time_left(&self) -> Option<Duration> {
        self.deadline
    }

    async fn ack(self) -> Result<(), SettleError> {
        self.settle(Settled::Acked)
    }

    async fn give_back(self, after: Duration) -> Result<(), SettleError> {
        self.settle(Settled::GivenBack(after))
    }

    async fn reject(self, reason: &str) -> Result<(), SettleError> {
        self.settle(Settled::Rejected(reason.to_owned()))
    }

    async fn extend(&self) -> Result<Option<Duration>, SettleError> {
        if self.fate.borrow().is_lost {
            return Err(SettleError::lost("the test took it back"));
        }
        self.fate.send_modify(|fate| fate.extended += 1);
        Ok(self.deadline)
    }
}

pub(super) async fn within<F: Future>(what: F) -> Option<F::Output> {
    timeout(LIMIT, what).await.ok()
}
