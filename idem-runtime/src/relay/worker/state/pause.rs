//! A receiver that takes nothing now.

use tokio::time::Instant;

/// A receiver that takes nothing now, and how carefully it is asked again.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    pub(crate) until: Option<Instant>,
    pub(crate) failures: u32,
    /// After a pause: how many messages may be without a verdict at once. Doubles with each that is
    /// confirmed.
    pub(crate) window: Option<usize>,
}

impl Pause {
    pub(crate) const fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(crate) fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// The receiver took a message. Returns whether that shows that a pause is over.
    pub(crate) fn confirmed(&mut self, most: usize) -> bool {
        self.failures = 0;
        let is_over = self.until.is_some_and(|until| Instant::now() >= until);
        if is_over {
            self.until = None;
        }
        if let Some(window) = self.window {
            self.window = Some(window * 2).filter(|window| *window < most);
        }
        is_over
    }
}
