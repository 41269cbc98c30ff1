//! What a call of an idempotent handler returns.

/// Whether this delivery ran the handler, or an earlier one did.
///
/// `R` is `T` unless the handler says `on_duplicate = "skip"`: then nothing was stored and `R` is
/// `()`.
///
/// ```
/// use idem_runtime::Outcome;
///
/// let first: Outcome<u32> = Outcome::Executed(7);
/// let again: Outcome<u32> = Outcome::Replayed(7);
/// assert_eq!(first.into_inner(), again.into_inner());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "an `Outcome` tells whether the handler ran; `into_inner` takes the value either way"]
pub enum Outcome<T, R = T> {
    /// This delivery ran the handler, and its effect is committed (or, in a joined transaction,
    /// will be when the caller commits).
    Executed(T),
    /// An earlier delivery had run the handler: its stored result.
    Replayed(R),
}

impl<T, R> Outcome<T, R> {
    /// Whether this delivery ran the handler.
    pub const fn is_executed(&self) -> bool {
        matches!(self, Self::Executed(_))
    }

    /// Whether an earlier delivery had run the handler.
    pub const fn is_replayed(&self) -> bool {
        matches!(self, Self::Replayed(_))
    }

    /// The value if this delivery ran the handler.
    pub fn executed(self) -> Option<T> {
        match self {
            Self::Executed(value) => Some(value),
            Self::Replayed(_) => None,
        }
    }

    /// Both values as references.
    pub const fn as_ref(&self) -> Outcome<&T, &R> {
        match self {
            Self::Executed(value) => Outcome::Executed(value),
            Self::Replayed(value) => Outcome::Replayed(value),
        }
    }
}

impl<T> Outcome<T> {
    /// The value, whichever delivery computed it.
    pub fn into_inner(self) -> T {
        match self {
            Self::Executed(value) | Self::Replayed(value) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_tells_whether_this_delivery_ran_the_handler() {
        let first: Outcome<u8, &str> = Outcome::Executed(7);
        let again: Outcome<u8, &str> = Outcome::Replayed("stored");
        assert_eq!((first.is_executed(), first.is_replayed()), (true, false));
        assert_eq!((again.is_executed(), again.is_replayed()), (false, true));
        assert_eq!((first.executed(), again.executed()), (Some(7), None));
        assert_eq!(first.as_ref(), Outcome::Executed(&7));
        assert_eq!(again.as_ref(), Outcome::Replayed(&"stored"));
        assert_eq!(Outcome::<u8>::Replayed(7).into_inner(), 7);
    }
}
