//! How a transaction ends.

/// What befalls a transaction that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Commits,
    RollsBack,
    /// Its future is dropped.
    IsDropped,
    /// Its session is ended by the server; on SQLite its process is killed.
    IsKilled,
    /// Its connection is cut, and neither side notices.
    IsCut,
}

impl Fate {
    pub(crate) fn commits(self) -> bool {
        self == Self::Commits
    }

    /// What a call in its own transaction returns, if it returns. (`CommitUnknown`: its next word
    /// to the server is the end of the transaction with COMMIT, and the connection is gone.)
    pub(crate) fn end(self, executed: &str) -> String {
        match self {
            Self::Commits => executed.into(),
            Self::RollsBack => "Handler(refused)".into(),
            Self::IsDropped => "-".into(),
            Self::IsKilled | Self::IsCut => "CommitUnknown".into(),
        }
    }
}
