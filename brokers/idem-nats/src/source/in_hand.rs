//! Which deliveries this source has handed out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The newest delivery of each message that is not settled.
///
/// JetStream takes an ack of an older one, too, and says so to nobody. And a server that was killed
/// may have forgotten that it had handed a message out: then this alone knows.
#[derive(Debug, Default)]
pub(super) struct InHand(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    /// By the message's place in the stream.
    of: HashMap<u64, u64>,
    next: u64,
}

/// One delivery among those in hand, for as long as it is there.
#[derive(Debug)]
pub(super) struct Place {
    in_hand: Arc<InHand>,
    message: u64,
    number: u64,
}

impl InHand {
    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message has arrived. Also says whether an earlier delivery of it is in hand.
    pub(super) fn arrived(self: &Arc<Self>, message: u64) -> (Place, bool) {
        let mut newest = self.newest();
        let number = newest.next;
        newest.next += 1;
        let is_again = newest.of.insert(message, number).is_some();
        let in_hand = Arc::clone(self);
        let place = Place {
            in_hand,
            message,
            number,
        };
        (place, is_again)
    }
}

impl Place {
    /// Whether the message has not come again since.
    pub(super) fn is_newest(&self) -> bool {
        self.in_hand.newest().of.get(&self.message) == Some(&self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut newest = self.in_hand.newest();
        if newest.of.get(&self.message) == Some(&self.number) {
            newest.of.remove(&self.message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_the_newest_until_its_message_comes_again() {
        let in_hand = Arc::<InHand>::default();
        let (first, is_again) = in_hand.arrived(7);
        let (other, _) = in_hand.arrived(8);
        assert!(!is_again && first.is_newest() && other.is_newest());
        let (second, is_again) = in_hand.arrived(7);
        assert!(is_again && second.is_newest() && !first.is_newest());
        // The older one takes nothing along.
        drop(first);
        assert!(second.is_newest());
        drop((second, other));
        assert!(in_hand.newest().of.is_empty());
        assert!(!in_hand.arrived(7).1);
    }
}
