//! One difference between two contracts, for a person.

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// What is different.
    pub(super) what: String,
    /// What it does, and what to do about it.
    pub(super) so: String,
}

pub(super) fn change(what: impl Into<String>, so: impl Into<String>) -> Change {
    Change {
        what: what.into(),
        so: so.into(),
    }
}
