//! What `orders` tells and the ledger hears. Two services in two repositories would have this as a
//! crate, or each its own copy: on the way it is JSON.

use idem_runtime::Event;
use serde::{Deserialize, Serialize};

/// An order was placed. Events of one account, placed or cancelled, arrive in the order of their
/// commits, since they have the same ordering key.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(topic = "orders.placed", key = "account")]
pub(crate) struct OrderPlaced {
    pub(crate) order: String,
    pub(crate) account: String,
    /// Counts the changes of this account, without a gap.
    pub(crate) version: i64,
    pub(crate) cents: i64,
}

/// An order was cancelled.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(topic = "orders.cancelled", key = "account")]
pub(crate) struct OrderCancelled {
    pub(crate) order: String,
    pub(crate) account: String,
    pub(crate) version: i64,
    pub(crate) cents: i64,
}
