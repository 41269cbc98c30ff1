//! What a batch and one of its calls know of each other.

use std::sync::Arc;

use crate::outbox::Row;
use crate::store::{Home, Record};

/// What a batch holds ready for one of its calls, and what that call leaves.
#[derive(Debug)]
pub struct Member {
    pub(crate) home: Arc<Home>,
    /// Of the transaction.
    pub(crate) depth: usize,
    /// What an earlier delivery stored.
    pub(crate) earlier: Option<Record>,
    pub(crate) end: Option<MemberEnd>,
}

/// How one call of a batch ended.
#[derive(Debug)]
pub(crate) struct MemberEnd {
    pub(crate) record: Record,
    pub(crate) events: Vec<Row>,
}

impl Member {
    pub(crate) const fn new(home: Arc<Home>, depth: usize, earlier: Option<Record>) -> Self {
        Self {
            home,
            depth,
            earlier,
            end: None,
        }
    }

    /// What the call left, if it ran to its end.
    pub(crate) fn into_end(self) -> Option<MemberEnd> {
        self.end
    }
}
