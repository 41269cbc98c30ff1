//! Which messages of a partition are settled, and how far its offset may be committed.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// The messages of a partition since it was assigned, from the oldest that is not committed on.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// In the order of their offsets, which may have gaps.
    messages: VecDeque<Tracked>,
    /// How many of the first of them are settled.
    settled: usize,
    /// The last offset that has arrived.
    last: Option<i64>,
    /// How many have arrived.
    arrived: usize,
}

#[derive(Debug)]
struct Tracked {
    offset: i64,
    is_settled: bool,
    /// Who waits for the commit of it.
    waits: Option<oneshot::Sender<()>>,
}

/// What the offset of a message says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    New {
        /// How many came before it.
        before: usize,
    },
    /// It is in hand, or was the last one.
    Again,
    /// Offsets went back: what is above may be other messages than before.
    Back {
        /// The highest offset before.
        last: i64,
    },
}

impl Tracker {
    /// A message has arrived.
    pub(super) fn arrived(&mut self, offset: i64) -> Arrived {
        if let Some(last) = self.last.filter(|last| offset <= *last) {
            let is_in_hand = self
                .messages
                .binary_search_by_key(&offset, |message| message.offset)
                .is_ok();
            return if is_in_hand || offset == last {
                Arrived::Again
            } else {
                Arrived::Back { last }
            };
        }
        self.last = Some(offset);
        self.messages.push_back(Tracked {
            offset,
            is_settled: false,
            waits: None,
        });
        let before = self.arrived;
        self.arrived += 1;
        Arrived::New { before }
    }

    /// A message is settled. Ends with the commit of it, if that follows at once: if all before it
    /// are settled, too.
    pub(super) fn settle(&mut self, offset: i64) -> Option<oneshot::Receiver<()>> {
        let place = self
            .messages
            .binary_search_by_key(&offset, |message| message.offset);
        let place = place.ok()?;
        self.messages[place].is_settled = true;
        let later = self.messages.iter().skip(self.settled);
        self.settled += later.take_while(|message| message.is_settled).count();
        if place >= self.settled {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.messages[place].waits = Some(sender);
        Some(receiver)
    }

    /// The offset to commit, which is that of the next message, if there is a new one.
    pub(super) fn to_commit(&self) -> Option<i64> {
        let last = self.settled.checked_sub(1)?;
        Some(self.messages[last].offset + 1)
    }

    /// The broker has confirmed this offset.
    pub(super) fn committed(&mut self, next: i64) {
        while self.settled > 0
            && let Some(message) = self.messages.pop_front_if(|message| message.offset < next)
        {
            self.settled -= 1;
            if let Some(waits) = message.waits {
                // It may have given up.
                let _ = waits.send(());
            }
        }
    }

    /// How many messages there are from the oldest that is not committed on.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(offsets: impl IntoIterator<Item = i64>) -> Tracker {
        let mut tracker = Tracker::default();
        for offset in offsets {
            tracker.arrived(offset);
        }
        tracker
    }

    #[test]
    fn the_offset_to_commit_is_never_past_one_that_is_not_settled() {
        let mut tracker = tracker([5, 6, 9]);
        assert!(tracker.settle(6).is_none());
        assert_eq!(tracker.to_commit(), None);
        assert!(tracker.settle(5).is_some());
        assert_eq!(tracker.to_commit(), Some(7));
        // Between them is what a transaction has left, or what was compacted.
        assert!(tracker.settle(9).is_some());
        assert_eq!(tracker.to_commit(), Some(10));
    }

    #[test]
    fn who_waits_hears_of_the_commit_of_its_own_message() {
        let mut tracker = tracker(0..3);
        let mut first = tracker.settle(0).unwrap();
        let mut second = tracker.settle(1).unwrap();
        tracker.committed(1);
        assert!(first.try_recv().is_ok() && second.try_recv().is_err());
        assert_eq!((tracker.to_commit(), tracker.len()), (Some(2), 2));
        tracker.committed(2);
        assert!(second.try_recv().is_ok());
        assert_eq!((tracker.to_commit(), tracker.len()), (None, 1));
        // An older answer changes nothing.
        tracker.committed(1);
        assert_eq!(tracker.len(), 1);
    }

    #[test]
    fn a_message_that_arrives_twice_is_taken_once() {
        let mut tracker = tracker([4, 5]);
        assert_eq!(tracker.arrived(4), Arrived::Again);
        assert_eq!(tracker.arrived(5), Arrived::Again);
        assert_eq!(tracker.arrived(6), Arrived::New { before: 2 });
        assert!(tracker.settle(7).is_none());
    }

    /// Guards: messages of a topic that was made anew are not taken for those that were handled.
    #[test]
    fn offsets_that_go_back_are_no_messages_that_arrive_again() {
        let mut tracker = tracker([4, 5, 6]);
        assert_eq!(tracker.arrived(3), Arrived::Back { last: 6 });
        for offset in 4..=6 {
            tracker.settle(offset);
        }
        tracker.committed(7);
        assert_eq!(tracker.arrived(0), Arrived::Back { last: 6 });
    }
}
