//! The isolation levels that a handler can ask for.

/// What a transaction sees of others that run at the same time. The weaker level comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// One state of the database, from its first statement to its end.
    RepeatableRead,
    /// As if it ran alone.
    Serializable,
}

impl Isolation {
    /// Its name in SQL.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}
