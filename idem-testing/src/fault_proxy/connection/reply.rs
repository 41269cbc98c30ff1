//! A reply that is held back.

#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    /// Where each of its messages ends.
    ends: Vec<usize>,
}

impl Reply {
    pub(super) fn add(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.ends.push(self.bytes.len());
    }

    /// About half of it, up to the middle of a message.
    pub(super) fn half(&self) -> &[u8] {
        let half = self.bytes.len() / 2;
        let inside = match self.ends.binary_search(&half) {
            Ok(_) => half + 1,
            Err(_) => half.max(1),
        };
        &self.bytes[..inside.min(self.bytes.len().saturating_sub(1))]
    }

    /// Replaces the last `tail` bytes by those of another reply.
    pub(super) fn end_as(&mut self, other: &Self, tail: usize) {
        if let Some(from) = other.bytes.len().checked_sub(tail)
            && let Some(at) = self.bytes.len().checked_sub(tail)
        {
            self.bytes.truncate(at);
            self.bytes.extend_from_slice(&other.bytes[from..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lengths: &[usize]) -> Reply {
        let mut reply = Reply::default();
        for &length in lengths {
            reply.add(&vec![b'x'; length]);
        }
        reply
    }

    #[test]
    fn half_a_reply_ends_inside_of_a_message() {
        for (lengths, half) in [
            (&[17][..], 8),
            (&[6, 6], 7),
            (&[10, 6], 8),
            (&[5, 5, 10, 6], 13),
            (&[4, 4], 5),
            (&[2], 1),
            (&[1], 0),
            (&[], 0),
        ] {
            assert_eq!(of(lengths).half().len(), half, "{lengths:?}");
        }
    }

    #[test]
    fn a_reply_takes_the_end_of_another() {
        let mut reply = Reply::default();
        reply.add(b"errorE");
        let mut other = Reply::default();
        other.add(b"doneI");
        reply.end_as(&other, 1);
        assert_eq!(reply.bytes, b"errorI");
        // One that was cut short.
        reply.end_as(&Reply::default(), 1);
        assert_eq!(reply.bytes, b"errorI");
    }
}
