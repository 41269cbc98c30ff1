//! The settings of a scope that decide how its calls are executed.

use std::borrow::Cow;
use std::time::Duration;

use crate::store::Isolation;

/// How the calls of one scope claim, wait, try again and are remembered.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) scope: Cow<'static, str>,
    /// How long a call waits for an earlier delivery of its key that still runs.
    pub(crate) wait: Duration,
    /// How long a key is remembered; `None` is for ever.
    pub(crate) retention: Option<Duration>,
    /// How often a body that met a conflict runs again.
    pub(crate) retry: u32,
    /// The level of a transaction that a call opens; `None` is the database's default.
    pub(crate) isolation: Option<Isolation>,
    pub(crate) result_version: u32,
}

impl Policy {
    pub(crate) const fn new(scope: &'static str) -> Self {
        Self {
            scope: Cow::Borrowed(scope),
            wait: Duration::from_secs(30),
            retention: None,
            retry: 0,
            isolation: None,
            result_version: 1,
        }
    }
}
