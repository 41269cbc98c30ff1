//! What can go wrong between a source and its broker.

use std::fmt;

/// Why a source could not say what arrives next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    reason: String,
    permanent: bool,
}

impl SourceError {
    /// The broker can't be reached or takes no consumer now. The consumer asks again, after a pause
    /// that grows up to 10 s, and warns in the log. The reason is logged: no secrets, no payloads.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            permanent: false,
        }
    }

    /// Nothing will arrive before a person has changed something: the queue does not exist, access
    /// is denied. The consumer ends with this error.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            permanent: true,
        }
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether the consumer ends.
    pub const fn is_permanent(&self) -> bool {
        self.permanent
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for SourceError {}

/// Why a delivery was not settled or extended, as far as its consumer knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettleError {
    reason: String,
    lost: bool,
}

impl SettleError {
    /// The broker took the delivery back and gives it to somebody, perhaps to this consumer again:
    /// its deadline has passed, or its connection or its partition is gone.
    pub fn lost(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            lost: true,
        }
    }

    /// The broker did not confirm it: it was done or not.
    pub fn unconfirmed(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            lost: false,
        }
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether the broker took the delivery back.
    pub const fn is_lost(&self) -> bool {
        self.lost
    }
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for SettleError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_reason_and_what_follows_from_it() {
        let [away, gone] = [SourceError::unavailable("a"), SourceError::permanent("b")];
        assert_eq!([away.is_permanent(), gone.is_permanent()], [false, true]);
        assert_eq!((away.reason(), gone.to_string()), ("a", "b".into()));
        let [lost, unsure] = [SettleError::lost("c"), SettleError::unconfirmed("d")];
        assert_eq!([lost.is_lost(), unsure.is_lost()], [true, false]);
        assert_eq!((lost.reason(), unsure.to_string()), ("c", "d".into()));
    }
}
