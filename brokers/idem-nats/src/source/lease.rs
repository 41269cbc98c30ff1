//! For how long a delivery is this consumer's, and where the server is told about it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Client, Request, RequestErrorKind, Subject};
use idem_runtime::SettleError;
use tokio::time::{Instant, timeout};

use crate::connector::{ANSWER_WITHIN, Connection};

pub(super) struct Lease {
    client: Client,
    /// The subject for what the server is told.
    settle_at: Subject,
    ack_wait: Duration,
    times: Mutex<Times>,
}

struct Times {
    deadline: Instant,
    is_extending: bool,
}

impl Lease {
    /// Of a delivery that arrives now.
    pub(super) fn new(client: Client, settle_at: Subject, ack_wait: Duration) -> Self {
        Self {
            client,
            settle_at,
            ack_wait,
            times: Mutex::new(Times {
                // The server's time has begun when it sent it.
                deadline: Instant::now() + ack_wait - ack_wait / 20,
                is_extending: false,
            }),
        }
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn time_left(&self) -> Duration {
        let deadline = self.times().deadline;
        deadline.saturating_duration_since(Instant::now())
    }

    /// Fails once its time is over. The server does not say so: it takes every settlement.
    pub(super) fn check(&self) -> Result<(), SettleError> {
        if !self.time_left().is_zero() {
            return Ok(());
        }
        Err(SettleError::lost(format!(
            "its `ack_wait` of {:?} is over, and NATS hands it out again",
            self.ack_wait
        )))
    }

    /// Whether it is to be extended now: a third of its time has passed, and nobody does so already.
    pub(super) fn begin_to_extend(&self) -> bool {
        let is_due = self.time_left() <= self.ack_wait * 2 / 3;
        is_due && !std::mem::replace(&mut self.times().is_extending, true)
    }

    /// Keeps it for another `ack_wait`.
    pub(super) async fn extend(&self) -> Result<(), SettleError> {
        // The server's time begins later, when it hears of it.
        let begun = Instant::now();
        // A server that answers later may have given it away before it heard of it.
        let told = timeout(self.time_left(), self.tell("+WPI", true)).await;
        let mut times = self.times();
        times.is_extending = false;
        if matches!(told, Ok(Ok(()))) {
            times.deadline = begun + self.ack_wait;
        }
        drop(times);
        told.unwrap_or_else(|_| self.check())
    }

    /// Tells the server, and waits until it has taken that. `again`: on another connection, too, if
    /// this one ends before.
    pub(super) async fn tell(&self, what: &str, again: bool) -> Result<(), SettleError> {
        let told = timeout(ANSWER_WITHIN, async {
            loop {
                let connection = Connection::made(&self.client).await;
                let connection = connection.ok_or_else(late)?;
                tokio::select! {
                    told = self.tell_once(what) => return told,
                    () = connection.lost(&self.client) => {}
                }
                if !again {
                    return Err(SettleError::unconfirmed(
                        "its connection was lost before NATS confirmed it",
                    ));
                }
            }
        });
        told.await.unwrap_or_else(|_| Err(late()))
    }

    async fn tell_once(&self, what: &str) -> Result<(), SettleError> {
        let payload = what.to_owned().into();
        let request = Request::new().payload(payload).timeout(None);
        let told = self.client.send_request(self.settle_at.clone(), request);
        match told.await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Err(SettleError::lost(
                "its durable consumer is not there any more, or has no leader now",
            )),
            Err(error) => Err(SettleError::unconfirmed(format!(
                "NATS has not confirmed it: {error}"
            ))),
        }
    }

    /// What the server is told of one that is never to come again. An older one does nothing at all
    /// if a reason is with it.
    pub(super) fn termination(&self, reason: &str) -> String {
        if self.client.is_server_compatible(2, 11, 0) {
            let reason: String = reason.chars().filter(|c| !c.is_control()).collect();
            format!("+TERM {reason}")
        } else {
            "+TERM".into()
        }
    }
}

fn late() -> SettleError {
    SettleError::unconfirmed(format!(
        "NATS has not confirmed it within {ANSWER_WITHIN:?}"
    ))
}
