//! The clock that a consumer goes by: the system's, or one that a test moves.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// A clock. In a test it stands still until it is moved, while the clock of the runtime, and with it
/// the time limits of a database's driver, goes on.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<ManualClock>);

impl Clock {
    /// The runtime's clock.
    pub const SYSTEM: Self = Self(None);

    /// Now.
    pub fn now(&self) -> Instant {
        self.0.as_ref().map_or_else(Instant::now, ManualClock::now)
    }

    /// Ends at that time. `None`: never. May be dropped.
    pub async fn sleep_until(&self, until: Option<Instant>) {
        let Some(until) = until else {
            return pending().await;
        };
        match &self.0 {
            None => sleep_until(until).await,
            Some(clock) => clock.sleep_until(until).await,
        }
    }
}

/// A clock that stands still until it is moved.
#[derive(Clone, Debug)]
pub struct ManualClock {
    start: Instant,
    passed: Arc<watch::Sender<Duration>>,
    /// When the consumer wakes up by itself.
    sleeps: Arc<watch::Sender<Option<Instant>>>,
}

impl ManualClock {
    /// Starts now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            passed: Arc::new(watch::Sender::new(Duration::ZERO)),
            sleeps: Arc::default(),
        }
    }

    /// Moves it.
    pub fn advance(&self, by: Duration) {
        self.passed.send_modify(|passed| *passed += by);
    }

    /// Waits until the consumer waits for a time, and moves to it.
    pub async fn advance_to_next(&self) {
        let mut sleeps = self.sleeps.subscribe();
        let until = sleeps.wait_for(Option::is_some).await;
        let until = until.ok().and_then(|until| *until);
        if let Some(until) = until {
            self.advance(until.saturating_duration_since(self.now()));
        }
    }

    /// For a source.
    pub fn clock(&self) -> Clock {
        Clock(Some(self.clone()))
    }

    fn now(&self) -> Instant {
        self.start + *self.passed.borrow()
    }

    async fn sleep_until(&self, until: Instant) {
        let _sleep = Sleep::until(&self.sleeps, until);
        let mut passed = self.passed.subscribe();
        let is_then = |passed: &Duration| self.start + *passed >= until;
        if passed.wait_for(is_then).await.is_err() {
            // The sender is this clock's own.
            pending::<()>().await;
        }
    }
}

/// Says when the consumer wakes up by itself, for as long as it sleeps.
struct Sleep<'a>(&'a watch::Sender<Option<Instant>>);

impl<'a> Sleep<'a> {
    fn until(sleeps: &'a watch::Sender<Option<Instant>>, until: Instant) -> Self {
        sleeps.send_replace(Some(until));
        Self(sleeps)
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_is_moved_wakes_what_is_due_and_nothing_else() {
        let manual = ManualClock::new();
        let clock = manual.clock();
        let start = clock.now();
        let mut first = Box::pin(clock.sleep_until(Some(start + Duration::from_secs(1))));
        let mut second = Box::pin(clock.sleep_until(Some(start + Duration::from_hours(1))));
        manual.advance(Duration::from_mins(1));
        tokio::select! {
            biased;
            () = &mut second => panic!("it is not due"),
            () = &mut first => {}
        }
        manual.advance(Duration::from_hours(1));
        second.await;
        assert_eq!(clock.now() - start, Duration::from_mins(61));
    }
}
