//! One way of doing the work.

use std::pin::Pin;

use anyhow::ensure;
use idem_runtime::Outcome;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is delivered: move `amount` to `account`, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) id: Uuid,
    pub(crate) account: i64,
    pub(crate) amount: i64,
}

/// How many rows the table `accounts` has.
pub(crate) const ACCOUNTS: i64 = 10_000;

impl Payment {
    /// A new one. IDs are time-ordered, accounts spread over the table.
    pub(crate) fn new() -> Self {
        let id = Uuid::now_v7();
        let (_, tail) = id.as_u64_pair();
        Self {
            id,
            account: i64::try_from(tail % ACCOUNTS.unsigned_abs()).expect("it is below ACCOUNTS"),
            amount: 1,
        }
    }
}

/// What a handler answers, and what a duplicate must get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) payment: Uuid,
    pub(crate) account: i64,
}

/// What a handler publishes.
#[derive(Clone, Debug, Serialize, Deserialize, idem_runtime::Event)]
#[event(topic = "ledger.posted", key = "account")]
pub(crate) struct Posted {
    pub(crate) payment: Uuid,
    pub(crate) account: i64,
    pub(crate) amount: i64,
}

impl From<&Payment> for Receipt {
    fn from(payment: &Payment) -> Self {
        Self {
            payment: payment.id,
            account: payment.account,
        }
    }
}

impl From<&Payment> for Posted {
    fn from(payment: &Payment) -> Self {
        Self {
            payment: payment.id,
            account: payment.account,
            amount: payment.amount,
        }
    }
}

pub(crate) type Done = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;
type Operation = Box<dyn FnMut(Payment) -> Done + Send>;

/// One way of doing the work: timed, with what must precede it untimed.
pub(crate) struct Arm {
    pub(crate) name: &'static str,
    pub(crate) prepare: Option<Operation>,
    pub(crate) run: Operation,
}

impl Arm {
    pub(crate) fn new<F>(
        name: &'static str,
        mut run: impl FnMut(Payment) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self {
            name,
            prepare: None,
            run: Box::new(move |payment| Box::pin(run(payment))),
        }
    }

    /// What happens before each run, with the same payment.
    pub(crate) fn after<F>(mut self, mut prepare: impl FnMut(Payment) -> F + Send + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.prepare = Some(Box::new(move |payment| Box::pin(prepare(payment))));
        self
    }
}

/// The names of the arms that the ratios are taken to, and of ours.
pub(crate) mod name {
    pub(crate) const BARE: &str = "bare transaction";
    pub(crate) const HAND: &str = "hand-written";
    pub(crate) const OURS: &str = "ours";
    pub(crate) const HAND_SKIP: &str = "hand-written, no result or event";
    pub(crate) const OURS_SKIP: &str = "ours, no result or event";
    pub(crate) const HAND_DUPLICATE: &str = "hand-written, duplicate";
    pub(crate) const OURS_DUPLICATE: &str = "ours, duplicate";
    pub(crate) const HAND_LONE: &str = "hand-written, lone duplicate";
    pub(crate) const OURS_LONE: &str = "ours, lone duplicate";
    pub(crate) const HAND_OUTBOX: &str = "hand-written, event only";
    pub(crate) const OURS_OUTBOX: &str = "ours, event only";
    pub(crate) const FLOOR_BARE: &str = "floor: bare transaction";
    pub(crate) const FLOOR: &str = "floor: result and event";
    pub(crate) const FLOOR_SKIP: &str = "floor: no result or event";
    pub(crate) const OUTBOX_POSTGRES: &str = "outbox-postgres 0.3, event only";
    pub(crate) const UNDERWAY: &str = "underway 0.2, enqueue and process";
    pub(crate) const UNDERWAY_PROCESS: &str = "underway 0.2, process";
    pub(crate) const SQLXMQ: &str = "sqlxmq 0.6, enqueue and process";
    pub(crate) const SQLXMQ_PROCESS: &str = "sqlxmq 0.6, process";

    /// The arm that `arm` must be compared with, if it is not the bare transaction alone.
    pub(crate) fn rival(arm: &str) -> Option<&'static str> {
        match arm {
            OURS | FLOOR | UNDERWAY | UNDERWAY_PROCESS | SQLXMQ | SQLXMQ_PROCESS => Some(HAND),
            OURS_SKIP | FLOOR_SKIP => Some(HAND_SKIP),
            OURS_DUPLICATE => Some(HAND_DUPLICATE),
            OURS_LONE => Some(HAND_LONE),
            OURS_OUTBOX | OUTBOX_POSTGRES => Some(HAND_OUTBOX),
            _ => None,
        }
    }
}

pub(crate) fn expect_executed(executed: bool) -> anyhow::Result<()> {
    ensure!(executed, "a new payment was taken for a duplicate");
    Ok(())
}

pub(crate) fn expect_replayed(
    (receipt, executed): (Receipt, bool),
    payment: &Payment,
) -> anyhow::Result<()> {
    ensure!(!executed, "a duplicate was executed");
    ensure!(
        receipt == Receipt::from(payment),
        "a duplicate got another result"
    );
    Ok(())
}

pub(crate) fn executed<T, R>(outcome: &Outcome<T, R>) -> anyhow::Result<()> {
    expect_executed(matches!(outcome, Outcome::Executed(_)))
}

pub(crate) fn replayed(outcome: &Outcome<Receipt>, payment: &Payment) -> anyhow::Result<()> {
    let (Outcome::Executed(receipt) | Outcome::Replayed(receipt)) = outcome;
    let executed = matches!(outcome, Outcome::Executed(_));
    expect_replayed((receipt.clone(), executed), payment)
}
