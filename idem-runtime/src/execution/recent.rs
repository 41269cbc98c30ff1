//! What a scope saw lately: mostly new messages, or a storm of duplicates.

use std::sync::atomic::{AtomicU64, Ordering};

/// Whether the last eight deliveries of a scope were duplicates, one bit each. The bits above them
/// say on which pool: the past of one database says nothing of another.
///
/// A claim that is sent with BEGIN reports a duplicate by an error, which costs the server a line
/// of its log. Asking first costs each new message a round trip. Duplicates come in storms, so the
/// recent past says which is cheaper.
#[derive(Debug)]
pub(crate) struct Recent(AtomicU64);

impl Recent {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn note(&self, pool: Option<u64>, duplicate: bool) {
        // A lost update under a race changes a guess, never an answer.
        let seen = (self.on(pool) << 1) | u8::from(duplicate);
        let seen = marked(pool) + u64::from(seen);
        self.0.store(seen, Ordering::Relaxed);
    }

    pub(crate) fn mostly_duplicates(&self, pool: Option<u64>) -> bool {
        self.on(pool).count_ones() >= 3
    }

    fn on(&self, pool: Option<u64>) -> u8 {
        let seen = self.0.load(Ordering::Relaxed);
        let bits = seen.checked_sub(marked(pool));
        bits.and_then(|bits| bits.try_into().ok()).unwrap_or(0)
    }
}

const fn marked(pool: Option<u64>) -> u64 {
    match pool {
        Some(pool) => pool << u8::BITS,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_sees_mostly_duplicates_while_three_of_the_last_eight_are() {
        let recent = Recent::new();
        let seen = |deliveries: &[bool]| {
            for &duplicate in deliveries {
                recent.note(Some(7), duplicate);
            }
            recent.mostly_duplicates(Some(7))
        };
        assert!(!seen(&[]));
        assert!(!seen(&[true, true]));
        assert!(seen(&[true]));
        assert!(seen(&[false; 5]));
        assert!(!seen(&[false]));
        assert!(seen(&[true, false, true, true]));
        assert!(!seen(&[false; 8]));
        assert!(seen(&[true; 20]));
    }

    /// Guards: the pool's number above the bits. Without it each run of the explorer would depend
    /// on the runs before it.
    #[test]
    fn what_one_pool_saw_says_nothing_of_another() {
        let recent = Recent::new();
        for _ in 0..20 {
            recent.note(Some(u64::MAX >> 8), true);
        }
        assert!(recent.mostly_duplicates(Some(u64::MAX >> 8)));
        for other in [None, Some(0), Some(1), Some((u64::MAX >> 8) - 1)] {
            assert!(!recent.mostly_duplicates(other), "{other:?}");
        }
        recent.note(None, true);
        assert!(!recent.mostly_duplicates(Some(u64::MAX >> 8)));
        recent.note(None, true);
        assert!(!recent.mostly_duplicates(None));
        recent.note(None, true);
        assert!(recent.mostly_duplicates(None));
    }
}
