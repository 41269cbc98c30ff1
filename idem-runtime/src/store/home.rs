//! Where a call finds its tables.

use uuid::Uuid;

/// Where the tables are, and which database's they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The schema of the tables. Empty where a connection's database has one set of them.
    pub(crate) schema: String,
    /// The random ID that `migrate` minted for this database. Each event ID is derived from it.
    pub(crate) namespace: Uuid,
}

impl Home {
    /// The attribute `source` of this database's events.
    pub(crate) fn source(&self) -> String {
        self.namespace.urn().to_string()
    }
}
