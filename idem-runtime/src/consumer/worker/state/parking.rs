//! What is known of the keys that are put aside.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::consumer::lanes::Ticket;
use crate::source::Partition;
use crate::store::Lane;

/// How often it is read what is put aside, as long as there is anything.
const READ_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(crate) struct Parking {
    /// What stands for the keys of which something is put aside, or about to be.
    pub(crate) lanes: HashSet<Lane>,
    /// How many messages are put aside.
    pub(crate) count: u64,
    /// To be put aside, in order.
    pub(crate) wanted: VecDeque<(Vec<Ticket>, Duration)>,
    pub(crate) is_writing: bool,
    /// How often the first of the wanted was refused.
    pub(crate) refused: u32,
    /// Changes when something is put aside: what was read before that is not all.
    pub(crate) generation: u64,
    pub(crate) is_reading: bool,
    /// Partitions that had a delivery since they were assigned.
    seen: HashSet<Partition>,
    /// Those among them that are new.
    unread: HashSet<Partition>,
    /// Those that were new when the reading began that is under way.
    being_read: HashSet<Partition>,
    next_read: Option<Instant>,
}

impl Parking {
    /// A delivery has arrived. Nothing runs until it is read what is put aside, if its partition is
    /// new: its last owner may have put something aside.
    pub(crate) fn arrived(&mut self, partition: Partition) {
        if self.seen.insert(partition) {
            self.unread.insert(partition);
        }
    }

    pub(crate) fn revoked(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.seen.remove(partition);
            self.unread.remove(partition);
            self.being_read.remove(partition);
        }
    }

    /// Whether deliveries can run: it is known what they follow.
    pub(crate) fn is_known(&self) -> bool {
        self.unread.is_empty() && self.being_read.is_empty()
    }

    pub(crate) fn wants_to_read(&self, now: Instant) -> bool {
        !self.is_reading
            && (!self.unread.is_empty() || self.next_read.is_some_and(|next| next <= now))
    }

    pub(crate) fn next_read(&self) -> Option<Instant> {
        self.next_read.filter(|_| !self.is_reading)
    }

    /// So many more messages are put aside.
    pub(crate) fn written(&mut self, messages: usize, now: Instant) {
        self.count += messages as u64;
        self.next_read.get_or_insert(now + READ_EVERY);
    }

    /// A message of this key was put aside by somebody else.
    pub(crate) fn found(&mut self, lane: Lane, now: Instant) {
        if self.lanes.insert(lane) {
            self.generation += 1;
            self.next_read.get_or_insert(now + READ_EVERY);
        }
    }

    /// It is being read what is put aside.
    pub(crate) fn reads(&mut self) {
        self.is_reading = true;
        self.being_read = std::mem::take(&mut self.unread);
    }

    /// It could not be read.
    pub(crate) fn not_read(&mut self) {
        self.is_reading = false;
        self.unread.extend(self.being_read.drain());
    }

    /// It was read what is put aside.
    pub(crate) fn read(&mut self, generation: u64, count: u64, lanes: HashSet<Lane>, now: Instant) {
        self.is_reading = false;
        self.being_read.clear();
        let is_all = generation == self.generation && !self.is_writing && self.wanted.is_empty();
        if is_all {
            self.lanes = lanes;
        } else {
            self.lanes.extend(lanes);
        }
        self.count = count;
        let is_any = !is_all || count > 0 || !self.lanes.is_empty();
        self.next_read = is_any.then(|| now + READ_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Lane = [7; 16];

    fn known() -> Parking {
        let mut parking = Parking::default();
        parking.arrived(Partition(1));
        parking.reads();
        parking.read(0, 0, HashSet::new(), Instant::now());
        parking
    }

    #[test]
    fn a_new_partition_is_read_before_anything_runs() {
        let now = Instant::now();
        let mut parking = Parking::default();
        assert!(parking.is_known() && !parking.wants_to_read(now));
        parking.arrived(Partition(1));
        assert!(!parking.is_known() && parking.wants_to_read(now));
        parking.reads();
        // This one is not in what is read.
        parking.arrived(Partition(2));
        parking.read(0, 0, HashSet::new(), now);
        assert!(!parking.is_known() && parking.wants_to_read(now));
        parking.reads();
        parking.not_read();
        assert!(!parking.is_known() && parking.wants_to_read(now));
        parking.reads();
        parking.read(0, 0, HashSet::new(), now);
        parking.arrived(Partition(1));
        assert!(parking.is_known() && !parking.wants_to_read(now + Duration::from_hours(1)));
        parking.revoked(&[Partition(1)]);
        parking.arrived(Partition(1));
        assert!(!parking.is_known());
    }

    /// Guards: the generation. A key that is put aside while it is read is not forgotten.
    #[test]
    fn what_is_put_aside_meanwhile_stays_known() {
        let now = Instant::now();
        let mut parking = known();
        parking.lanes.insert(LANE);
        parking.generation += 1;
        parking.read(0, 0, HashSet::new(), now);
        assert!(parking.lanes.contains(&LANE));
        assert!(parking.wants_to_read(now + READ_EVERY));
        parking.read(1, 0, HashSet::new(), now);
        assert!(parking.lanes.is_empty() && parking.next_read().is_none());
    }
}
