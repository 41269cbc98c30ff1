//! Whether the database takes writes.

use std::time::Duration;

use tokio::time::Instant;

/// After so many failures of the database in a row, whatever delivery they are of, it is asked
/// whether it takes writes at all.
const SUSPICIOUS: u32 = 5;

/// How long to wait at most before the database is asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// An outage that begins so soon after the last one is the same one.
const SAME: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Failures of the database since something succeeded.
    in_a_row: u32,
    open: Option<Open>,
    failures: u32,
    ended: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    next_probe: Instant,
    is_probing: bool,
}

impl Outage {
    /// Whether nothing is started.
    pub(crate) const fn is_on(&self) -> bool {
        self.open.is_some()
    }

    /// The database failed a delivery. Whether it is to be asked what it takes.
    pub(crate) const fn failed(&mut self) -> bool {
        self.in_a_row += 1;
        self.in_a_row >= SUSPICIOUS
    }

    pub(crate) const fn succeeded(&mut self) {
        self.in_a_row = 0;
    }

    /// Begins, unless it is on. Whether it has begun.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        if self.open.is_some() {
            return false;
        }
        let is_same = self.ended.is_some_and(|ended| now < ended + SAME);
        if !is_same {
            self.failures = 0;
        }
        let next_probe = if self.failures == 0 {
            now
        } else {
            now + self.pause()
        };
        self.failures += 1;
        self.open = Some(Open {
            next_probe,
            is_probing: false,
        });
        true
    }

    /// Whether to ask now; the answer is awaited from then on.
    pub(crate) fn asks(&mut self, now: Instant) -> bool {
        match &mut self.open {
            Some(open) if !open.is_probing && open.next_probe <= now => {
                open.is_probing = true;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn next_probe(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        (!open.is_probing).then_some(open.next_probe)
    }

    /// The database refused; when it is asked again.
    pub(crate) fn goes_on(&mut self, now: Instant) -> Duration {
        self.failures += 1;
        let pause = self.pause();
        self.open = Some(Open {
            next_probe: now + pause,
            is_probing: false,
        });
        pause
    }

    pub(crate) fn end(&mut self, now: Instant) {
        self.open = None;
        self.in_a_row = 0;
        self.ended = Some(now);
    }

    fn pause(&self) -> Duration {
        FIRST_PAUSE
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_asked_at_once_and_then_ever_more_seldom() {
        let now = Instant::now();
        let mut outage = Outage::default();
        assert!(outage.begin(now) && !outage.begin(now));
        assert!(outage.is_on() && outage.asks(now) && !outage.asks(now));
        let pauses: Vec<_> = (0..9).map(|_| outage.goes_on(now)).collect();
        assert!(pauses.is_sorted());
        assert_eq!((pauses[0], pauses[8]), (FIRST_PAUSE * 4, LONGEST_PAUSE));
        assert!(!outage.asks(now) && outage.asks(now + LONGEST_PAUSE));
        outage.end(now);
        assert!(!outage.is_on());
    }

    /// Guards: a write that fails for a reason of its own, while the probe succeeds, is not tried
    /// again without a pause.
    #[test]
    fn an_outage_that_is_back_soon_is_the_same_one() {
        let now = Instant::now();
        let mut outage = Outage::default();
        outage.begin(now);
        outage.end(now);
        outage.begin(now);
        assert!(!outage.asks(now));
        outage.end(now);
        outage.begin(now + SAME);
        assert!(outage.asks(now + SAME));
    }

    #[test]
    fn some_failures_in_a_row_are_suspicious_and_a_success_between_them_is_not() {
        let mut outage = Outage::default();
        let mut suspicious = || (0..SUSPICIOUS).map(|_| outage.failed()).collect::<Vec<_>>();
        assert_eq!(suspicious(), [false, false, false, false, true]);
        outage.succeeded();
        assert!(!outage.failed());
    }
}
