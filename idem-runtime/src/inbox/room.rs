//! How much of an inbox is in memory and not handed out.

use std::collections::VecDeque;

use crate::store::TakenMessage;

/// How many messages are taken at once and kept behind others, and how many bytes.
const MESSAGES: usize = 128;
const BYTES: usize = 8 << 20;

/// How many messages of one key are taken at once at most: one that fails has them all for nothing.
const OF_EACH: usize = 16;

/// What a message is thought to have before one was seen.
const FIRST_SIZE: usize = BYTES / 4;

#[derive(Debug)]
pub(super) struct Room {
    messages: usize,
    bytes: usize,
    /// What a message had the last time.
    size: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            messages: 0,
            bytes: 0,
            size: FIRST_SIZE,
        }
    }
}

impl Room {
    /// How many messages to take that nothing is before.
    pub(super) fn batch(&self) -> u32 {
        within(self.fit(BYTES), MESSAGES)
    }

    /// How many messages to take of each of so many keys. One can be handed out at once, so there is
    /// room for that always.
    pub(super) fn of_each(&self, lanes: usize) -> u32 {
        let fit = self.fit(BYTES.saturating_sub(self.bytes));
        let fit = fit.min(MESSAGES.saturating_sub(self.messages));
        within(fit / lanes.max(1), OF_EACH)
    }

    pub(super) fn enter(&mut self, messages: &[TakenMessage]) {
        let bytes: usize = messages.iter().map(size).sum();
        if let Some(size) = bytes.checked_div(messages.len()) {
            self.size = size;
        }
        self.messages += messages.len();
        self.bytes += bytes;
    }

    pub(super) fn leave(&mut self, message: &TakenMessage) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size(message));
    }

    pub(super) fn leave_all(&mut self, messages: &VecDeque<TakenMessage>) {
        for message in messages {
            self.leave(message);
        }
    }

    /// How many messages like the last ones these bytes hold.
    fn fit(&self, bytes: usize) -> usize {
        bytes / self.size.max(1)
    }
}

/// One at least.
fn within(count: usize, most: usize) -> u32 {
    u32::try_from(count.min(most)).map_or(1, |count| count.max(1))
}

fn size(message: &TakenMessage) -> usize {
    message.kept.payload.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::taken;

    #[test]
    fn large_messages_are_taken_few_at_a_time() {
        for (bytes, batch, of_each) in [
            (0, 128, 15),
            (100, 128, 15),
            (1 << 20, 8, 1),
            (100 << 20, 1, 1),
        ] {
            let mut room = Room::default();
            assert_eq!(room.batch(), 4);
            room.enter(&[taken(1, None, bytes)]);
            assert_eq!((room.batch(), room.of_each(8)), (batch, of_each), "{bytes}");
        }
    }

    #[test]
    fn there_is_always_room_for_one_of_a_key() {
        let mut room = Room::default();
        let all: Vec<_> = (0..1_000).map(|seq| taken(seq, None, 10)).collect();
        room.enter(&all);
        assert_eq!((room.of_each(1), room.of_each(64)), (1, 1));
    }
}
