//! What was taken and waits to be handed out.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use idem_runtime::Incoming;

/// A message of an assignment.
pub(super) struct Waiting {
    pub(super) assignment: u64,
    pub(super) offset: i64,
    pub(super) incoming: Incoming,
    /// Not before this, if it was given back for a time.
    pub(super) due: Option<Instant>,
}

/// Messages in the order in which they are handed out.
#[derive(Default)]
pub(super) struct Buffer {
    messages: VecDeque<Waiting>,
    bytes: usize,
    /// How many wait for their time.
    delayed: usize,
}

/// What is handed out next.
pub(super) enum Next {
    Message(Box<Waiting>),
    /// Nothing before this.
    Later(Instant),
    Nothing,
}

impl Buffer {
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.incoming.size();
        self.messages.push_back(waiting);
    }

    /// Puts back what was handed out, before what follows it in its partition.
    pub(super) fn put_back(&mut self, waiting: Waiting) {
        self.bytes += waiting.incoming.size();
        self.delayed += usize::from(waiting.due.is_some());
        let is_later = |other: &Waiting| {
            other.assignment == waiting.assignment && other.offset > waiting.offset
        };
        let place = self.messages.iter().position(is_later);
        let place = place.unwrap_or(self.messages.len());
        self.messages.insert(place, waiting);
    }

    /// Takes out what comes next. What follows a message that waits for its time, with its key,
    /// waits, too.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let place = if self.delayed == 0 {
            (!self.messages.is_empty()).then_some(0)
        } else {
            self.first_due(now)
        };
        if let Some(waiting) = place.and_then(|place| self.messages.remove(place)) {
            self.taken_out(&waiting);
            return Next::Message(Box::new(waiting));
        }
        let due = self.messages.iter().filter_map(|waiting| waiting.due);
        due.min().map_or(Next::Nothing, Next::Later)
    }

    fn first_due(&self, now: Instant) -> Option<usize> {
        let mut held = HashSet::new();
        self.messages.iter().position(|waiting| {
            let key = waiting.incoming.key.as_deref();
            let key = key.map(|key| (waiting.assignment, key));
            if key.is_some_and(|key| held.contains(&key)) {
                return false;
            }
            let is_due = waiting.due.is_none_or(|due| due <= now);
            if !is_due {
                held.extend(key);
            }
            is_due
        })
    }

    fn taken_out(&mut self, waiting: &Waiting) {
        self.bytes = self.bytes.saturating_sub(waiting.incoming.size());
        self.delayed -= usize::from(waiting.due.is_some());
    }

    /// Drops what is of these assignments.
    pub(super) fn forget(&mut self, assignments: &[u64]) {
        let messages = std::mem::take(&mut self.messages);
        for waiting in messages {
            if assignments.contains(&waiting.assignment) {
                self.taken_out(&waiting);
            } else {
                self.messages.push_back(waiting);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn waiting(offset: i64, key: Option<&str>) -> Waiting {
        let mut incoming = Incoming::new("x");
        incoming.key = key.map(str::to_owned);
        Waiting {
            assignment: 1,
            offset,
            incoming,
            due: None,
        }
    }

    fn take(buffer: &mut Buffer, now: Instant) -> Option<i64> {
        match buffer.next(now) {
            Next::Message(waiting) => Some(waiting.offset),
            _ => None,
        }
    }

    #[test]
    fn what_is_put_back_comes_before_what_follows_it() {
        let mut buffer = Buffer::default();
        for offset in 3..5 {
            buffer.push(waiting(offset, Some("k")));
        }
        // The last first, as a consumer gives back.
        buffer.put_back(waiting(2, Some("k")));
        buffer.put_back(waiting(1, Some("k")));
        let now = Instant::now();
        let order: Vec<_> = std::iter::from_fn(|| take(&mut buffer, now)).collect();
        assert_eq!(order, [1, 2, 3, 4]);
        assert_eq!((buffer.len(), buffer.bytes()), (0, 0));
    }

    #[test]
    fn what_waits_for_its_time_holds_back_its_key_alone() {
        let mut buffer = Buffer::default();
        buffer.push(waiting(2, Some("k")));
        buffer.push(waiting(3, Some("other")));
        let now = Instant::now();
        let due = now + Duration::from_secs(1);
        let mut delayed = waiting(1, Some("k"));
        delayed.due = Some(due);
        buffer.put_back(delayed);
        assert_eq!(take(&mut buffer, now), Some(3));
        assert!(matches!(buffer.next(now), Next::Later(at) if at == due));
        assert_eq!(take(&mut buffer, due), Some(1));
        assert_eq!(take(&mut buffer, due), Some(2));
        assert!(matches!(buffer.next(due), Next::Nothing));
    }

    #[test]
    fn what_is_of_another_owner_is_forgotten() {
        let mut buffer = Buffer::default();
        buffer.push(waiting(1, None));
        let mut other = waiting(2, None);
        other.assignment = 2;
        buffer.push(other);
        buffer.forget(&[1]);
        assert_eq!(take(&mut buffer, Instant::now()), Some(2));
        assert_eq!(buffer.bytes(), 0);
    }
}
