//! The relay as it is, and as it must not be.

/// By which rules a run's relays work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Those of the relay.
    Relay,
    /// Each look reads everything.
    Everything,
    /// A number that was jumped over is left to the full look.
    FullLookOnly,
    /// A number that was jumped over is forgotten.
    NoSecondLook,
    /// Numbers that were jumped over are asked for in a statement of their own.
    TwoSnapshots,
    /// The database draws a number before it gives out an xid.
    NumbersBeforeXids,
    /// What a look brings counts though the cursor was restarted since it began.
    StaleLooks,
    /// What a look brings is dropped while the lease has run out.
    DropsWhileLapsed,
    /// A queue that was lost while it was with the publisher stays lost.
    LostForGood,
    /// A burial that was refused, since it was written together with one that is another's, is
    /// forgotten.
    ForgetsBurials,
}

impl Rule {
    pub(super) const BROKEN: [Self; 8] = [
        Self::FullLookOnly,
        Self::NoSecondLook,
        Self::TwoSnapshots,
        Self::NumbersBeforeXids,
        Self::StaleLooks,
        Self::DropsWhileLapsed,
        Self::LostForGood,
        Self::ForgetsBurials,
    ];

    pub(super) const fn has_full_look(self) -> bool {
        !matches!(self, Self::NoSecondLook | Self::Everything)
    }
}
