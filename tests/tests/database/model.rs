//! What the handlers of the suite take and return, and what the assertions compare.

use std::fmt::Debug;

use idem_runtime::{Classify, Disposition, Error, Event, Outcome};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// A delivery, and how its handler ends.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) cents: i64,
    pub(crate) ending: Ending,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    Well,
    Refused(Refusal),
}

impl Order {
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            cents: 1_250,
            ending: Ending::Well,
        }
    }

    pub(crate) fn of(id: &str, cents: i64) -> Self {
        Self {
            cents,
            ..Self::new(id)
        }
    }

    pub(crate) fn refused(id: &str, refusal: Refusal) -> Self {
        Self {
            ending: Ending::Refused(refusal),
            ..Self::new(id)
        }
    }

    pub(crate) fn receipt(&self) -> Receipt {
        Receipt {
            order: self.id.clone(),
            cents: self.cents,
            note: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) order: String,
    pub(crate) cents: i64,
    pub(crate) note: Option<String>,
}

/// A result that can't be stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket(pub(crate) String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// Will be refused again.
    Closed,
    /// May pass on the next delivery.
    Busy,
    Database,
}

impl From<sqlx::Error> for Refusal {
    fn from(_: sqlx::Error) -> Self {
        Self::Database
    }
}

impl Classify for Refusal {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Closed => Disposition::DeadLetter,
            Self::Busy | Self::Database => Disposition::Retry,
        }
    }
}

#[derive(Serialize, Deserialize, Event)]
#[event(topic = "orders.placed", key = "order")]
pub(crate) struct Placed {
    pub(crate) order: String,
    pub(crate) cents: i64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(topic = "mail.due", key = "to", type = "mail.Due")]
pub(crate) struct MailDue {
    pub(crate) to: String,
}

/// Holds a handler in its body until the test lets it go on.
#[derive(Debug)]
pub(crate) struct Meeting {
    here: Semaphore,
    go_on: Semaphore,
}

impl Meeting {
    pub(crate) const fn new() -> Self {
        Self {
            here: Semaphore::const_new(0),
            go_on: Semaphore::const_new(0),
        }
    }

    pub(crate) async fn arrive(&self) {
        self.here.add_permits(1);
        self.go_on.acquire().await.expect("never closed").forget();
    }

    pub(crate) async fn has_arrived(&self) {
        self.here.acquire().await.expect("never closed").forget();
    }

    pub(crate) fn let_go_on(&self) {
        self.go_on.add_permits(1);
    }
}

/// A call's end, to be compared as a whole: errors by their text.
pub(crate) fn end<T, R, E: Debug>(
    result: Result<Outcome<T, R>, Error<E>>,
) -> Result<Outcome<T, R>, String> {
    result.map_err(|error| format!("{error:?}"))
}

/// The end of a delivery whose handler refused it.
pub(crate) fn refused<T>(refusal: Refusal) -> Result<T, String> {
    Err(format!("{:?}", handler_error(refusal, false)))
}

/// The end of a duplicate of one that was refused for good.
pub(crate) fn refused_before<T>(refusal: Refusal) -> Result<T, String> {
    Err(format!("{:?}", handler_error(refusal, true)))
}

const fn handler_error(error: Refusal, replayed: bool) -> Error<Refusal> {
    Error::Handler { error, replayed }
}

/// A row of `idem_keys`: bytes in hexadecimal, times as hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) scope: String,
    pub(crate) key: String,
    pub(crate) fingerprint: Option<String>,
    pub(crate) state: i64,
    pub(crate) result_version: i64,
    pub(crate) result: Option<String>,
    pub(crate) kept_hours: Option<i64>,
}

/// A row of `idem_outbox`, without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Emitted {
    pub(crate) id: String,
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) kind: String,
    pub(crate) payload: String,
    pub(crate) content_type: String,
    pub(crate) headers: String,
}
