//! A future that is left alone rather than dropped half way.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future whose destructor does not run if it is dropped before its end.
///
/// sqlx's nested `begin`, dropped half way, queues a ROLLBACK of the *outer* transaction and counts
/// it as ended, so the caller's `commit()` answers `Ok` and nothing is stored. Left alone, it
/// leaves at most a savepoint that nobody names. The price is a few hundred bytes for each joined
/// call that is cancelled in its first round trip.
pub(super) struct LeakOnDrop<F>(ManuallyDrop<Pin<Box<F>>>);

impl<F: Future> LeakOnDrop<F> {
    pub(super) fn new(future: F) -> Self {
        Self(ManuallyDrop::new(Box::pin(future)))
    }
}

impl<F: Future> Future for LeakOnDrop<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(context)
    }
}
