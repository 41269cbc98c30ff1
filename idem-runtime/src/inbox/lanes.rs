//! How many messages of each lane a consumer has.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::Lane;

/// More of a lane can be taken when its last message is gone, and not before.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<HashMap<Lane, usize>>);

impl Lanes {
    pub(super) fn add(&self, lane: Lane) {
        *self.all().entry(lane).or_default() += 1;
    }

    /// Whether it was the last one.
    pub(super) fn remove(&self, lane: Lane) -> bool {
        let mut all = self.all();
        let Some(count) = all.get_mut(&lane) else {
            return false;
        };
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            all.remove(&lane);
        }
        is_last
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Lane, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_free_when_its_last_message_is_gone() {
        let lanes = Lanes::default();
        let (one, two) = ([1; 16], [2; 16]);
        lanes.add(one);
        lanes.add(one);
        lanes.add(two);
        assert!(!lanes.remove(one));
        assert!(lanes.remove(two));
        assert!(lanes.remove(one));
        assert!(lanes.all().is_empty());
    }
}
