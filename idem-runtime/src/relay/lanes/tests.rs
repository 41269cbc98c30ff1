mod ends;
mod random;

use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::event::EventId;

/// More than any test has.
const MANY: usize = 100;

const ALL: Amount = Amount {
    events: MANY,
    bytes: 1_000_000,
};

const SIZE: usize = 10;

const NONE: [i64; 0] = [];

fn place(seq: i64) -> Place {
    Place {
        seq,
        id: Uuid::from_u128(u128::from(seq.unsigned_abs())),
    }
}

/// An event of a key; the key's first byte is its shard.
fn event(seq: i64, key: &str) -> FoundEvent {
    let place = place(seq);
    let mut message = Message::new(EventId::new(place.id), "t", "T", "");
    message.key = Some(key.to_owned()).filter(|key| !key.is_empty());
    FoundEvent {
        place,
        shard: shard(key),
        attempts: 0,
        retry_in: None,
        size: SIZE,
        message: Ok(message),
    }
}

fn shard(key: &str) -> u8 {
    key.bytes().next().unwrap_or_default() % SHARDS
}

fn shards(key: &str) -> ShardSet {
    ShardSet::NONE.with(shard(key))
}

struct Test {
    lanes: Lanes,
    now: Instant,
}

impl Test {
    /// With these events, numbered from 1, of these keys.
    fn new(keys: &[&str]) -> Self {
        let mut test = Self {
            lanes: Lanes::default(),
            now: Instant::now(),
        };
        for (seq, key) in (1..).zip(keys) {
            assert!(test.arrive(event(seq, key)));
        }
        test
    }

    fn arrive(&mut self, event: FoundEvent) -> bool {
        self.lanes.arrive(event, self.now, MANY)
    }

    /// The next call: its numbers, and the parts that they make up.
    fn send(&mut self) -> (Vec<i64>, Vec<Part>) {
        let batch = self.lanes.next_batch(ALL, usize::MAX);
        assert_eq!(batch.messages.len(), batch.places.len());
        let numbers = batch.places.iter().map(|place| place.seq).collect();
        (numbers, batch.parts)
    }

    fn numbers(&mut self) -> Vec<i64> {
        self.send().0
    }

    fn confirm(&mut self, lane: LaneId) -> i64 {
        let left = self.lanes.leave(lane).unwrap();
        self.lanes.settled(left.place, left.shard);
        left.place.seq
    }

    fn fail(&mut self, lane: LaneId, after: Duration, is_suspect: bool) {
        let stay = Stay::Failed {
            retry_at: self.now + after,
            is_suspect,
        };
        self.lanes.returned(lane, Some(stay), self.now);
    }

    fn untried(&mut self, lane: LaneId) {
        self.lanes.returned(lane, Some(Stay::Untried), self.now);
    }

    /// Reads again what is wanted, of that only what is not gone.
    fn read(&mut self, most: usize, gone: &[i64], key: &str) -> Vec<i64> {
        let wanted = self.lanes.take_wanted(Amount {
            events: most,
            bytes: usize::MAX,
        });
        let numbers: Vec<_> = wanted.iter().map(|(_, place)| place.seq).collect();
        let found = numbers.iter().filter(|seq| !gone.contains(seq));
        let found = found.map(|seq| event(*seq, key)).collect();
        let told = self.lanes.reloaded(&wanted, found, self.now);
        assert!(told.iter().map(|place| place.seq).eq(gone.iter().copied()));
        numbers
    }

    fn assert_empty(&self) {
        assert!(self.lanes.is_empty() && self.lanes.by_id.is_empty());
        assert!(self.lanes.by_key.is_empty() && self.lanes.waiting.is_empty());
        assert_eq!(self.lanes.loaded(), Amount::default());
        assert!(self.lanes.busy().is_empty());
    }
}

const LATER: Duration = Duration::from_secs(1);

#[test]
fn a_key_is_in_one_call_at_a_time_and_in_order() {
    let mut test = Test::new(&["a", "b", "a"]);
    let (numbers, parts) = test.send();
    assert_eq!(numbers, [1, 3, 2]);
    test.arrive(event(4, "a"));
    assert!(!test.arrive(event(4, "a")), "it is known");
    assert_eq!(test.numbers(), NONE);
    let [a, b] = [parts[0].lane, parts[1].lane];
    assert_eq!(
        [test.confirm(a), test.confirm(a), test.confirm(b)],
        [1, 3, 2]
    );
    assert_eq!(test.numbers(), NONE, "the call has not returned");
    test.lanes.returned(a, None, test.now);
    test.lanes.returned(b, None, test.now);
    let (numbers, _) = test.send();
    assert_eq!(numbers, [4]);
    test.confirm(a);
    test.lanes.returned(a, None, test.now);
    test.assert_empty();
}

#[test]
fn events_without_a_key_wait_for_nobody() {
    let mut test = Test::new(&["", ""]);
    let (numbers, parts) = test.send();
    assert_eq!((numbers, parts.len()), (vec![1, 2], 2));
    test.fail(parts[0].lane, LATER, false);
    test.arrive(event(3, ""));
    assert_eq!(test.numbers(), [3]);
}

#[test]
fn a_failure_holds_back_its_key_until_its_time_and_no_other() {
    let mut test = Test::new(&["a", "a", "b"]);
    let (_, parts) = test.send();
    let [a, b] = [parts[0].lane, parts[1].lane];
    test.fail(a, LATER, false);
    test.confirm(b);
    test.lanes.returned(b, None, test.now);
    assert_eq!(test.lanes.loaded(), Amount::default(), "numbers are kept");
    test.arrive(event(4, "a"));
    test.arrive(event(5, "b"));
    assert_eq!(test.numbers(), [5]);
    assert_eq!(test.lanes.next_due(), Some(test.now + LATER));
    test.lanes.wake(test.now + LATER - Duration::from_millis(1));
    assert_eq!(
        (test.numbers(), test.read(MANY, &[], "a")),
        (vec![], vec![])
    );
    test.now += LATER;
    test.lanes.wake(test.now);
    assert_eq!((test.numbers(), test.lanes.next_due()), (vec![], None));
    assert_eq!(test.read(MANY, &[], "a"), [1, 2, 4]);
    assert_eq!(test.lanes.loaded().events, 3 + 1);
    assert_eq!(test.numbers(), [1, 2, 4]);
    assert_eq!(test.lanes.first(a).map(|first| first.attempts), Some(1));
}

#[test]
fn an_event_that_failed_before_it_arrived_waits_at_its_place() {
    let mut test = Test::new(&["a"]);
    let waits = |seq, key| FoundEvent {
        attempts: 3,
        retry_in: Some(LATER),
        ..event(seq, key)
    };
    test.arrive(waits(2, "a"));
    test.arrive(event(3, "a"));
    test.arrive(waits(4, "b"));
    let (numbers, parts) = test.send();
    assert_eq!(numbers, [1]);
    test.confirm(parts[0].lane);
    test.lanes.returned(parts[0].lane, None, test.now);
    assert_eq!(test.numbers(), NONE);
    assert_eq!(test.lanes.loaded(), Amount::default());
    test.now += LATER;
    test.lanes.wake(test.now);
    assert_eq!(test.numbers(), NONE);
    assert_eq!(
        test.lanes
            .take_wanted(Amount {
                events: MANY,
                bytes: usize::MAX
            })
            .len(),
        3
    );
}

#[test]
fn an_event_that_may_have_brought_down_a_call_goes_alone() {
    let mut test = Test::new(&["a", "a", "b"]);
    let (_, parts) = test.send();
    test.fail(parts[0].lane, Duration::ZERO, true);
    test.untried(parts[1].lane);
    test.arrive(event(4, "c"));
    assert_eq!(test.numbers(), [4]);
    test.read(2, &[], "a");
    test.read(1, &[], "b");
    assert_eq!(test.numbers(), [1]);
    assert_eq!(test.numbers(), [3]);
    test.confirm(parts[0].lane);
    test.lanes.returned(parts[0].lane, None, test.now);
    assert_eq!(test.numbers(), [2]);
}

#[test]
fn the_limits_of_a_call_are_kept_give_or_take_one_event() {
    let mut test = Test::new(&["a", "a", "b"]);
    let most = Amount { events: 2, ..ALL };
    assert_eq!(test.lanes.next_batch(most, usize::MAX).places.len(), 2);
    assert_eq!(test.numbers(), [3]);
    let mut test = Test::new(&["a", "a", "b"]);
    let most = Amount {
        bytes: SIZE + 1,
        ..ALL
    };
    assert_eq!(test.lanes.next_batch(most, usize::MAX).places.len(), 2);
    assert_eq!(test.lanes.loaded().bytes, 3 * SIZE);
}

#[test]
fn of_a_long_queue_only_the_first_events_are_in_memory() {
    let mut test = Test::new(&[]);
    for seq in 1..=5 {
        test.lanes.arrive(event(seq, "a"), test.now, 2);
    }
    assert_eq!((test.lanes.loaded().events, test.lanes.len()), (2, 5));
    let (numbers, parts) = test.send();
    assert_eq!(numbers, [1, 2]);
    test.confirm(parts[0].lane);
    test.confirm(parts[0].lane);
    test.lanes.returned(parts[0].lane, None, test.now);
    assert_eq!(test.numbers(), NONE);
    assert_eq!(test.read(MANY, &[], "a"), [3, 4, 5]);
    assert_eq!(test.numbers(), [3, 4, 5]);
}

#[test]
fn what_is_gone_when_it_is_read_again_leaves_its_queue() {
    let mut test = Test::new(&["a", "a", "b"]);
    let (_, parts) = test.send();
    test.fail(parts[0].lane, Duration::ZERO, false);
    test.untried(parts[1].lane);
    assert_eq!(test.numbers(), NONE);
    assert_eq!(test.read(2, &[1], "a"), [1, 2]);
    assert_eq!(test.read(1, &[3], "b"), [3]);
    assert_eq!(test.numbers(), [2]);
    test.confirm(parts[0].lane);
    test.lanes.returned(parts[0].lane, None, test.now);
    test.assert_empty();
}

#[test]
fn what_could_not_be_read_again_is_asked_for_again() {
    let mut test = Test::new(&["a"]);
    let (_, parts) = test.send();
    test.untried(parts[0].lane);
    assert_eq!(test.numbers(), NONE);
    let wanted = test.lanes.take_wanted(Amount {
        events: MANY,
        bytes: usize::MAX,
    });
    assert_eq!(
        test.lanes.take_wanted(Amount {
            events: MANY,
            bytes: usize::MAX
        }),
        []
    );
    test.lanes.want_again(wanted);
    assert_eq!(
        (test.read(MANY, &[], "a"), test.numbers()),
        (vec![1], vec![1])
    );
}

/// Guards: a queue that is read again in part goes on with that part.
#[test]
fn a_queue_that_does_not_fit_is_read_again_as_far_as_it_fits() {
    let mut test = Test::new(&["a", "a", "a", "b"]);
    let (_, parts) = test.send();
    for part in &parts {
        test.untried(part.lane);
    }
    assert_eq!(test.numbers(), NONE);
    assert_eq!(test.read(2, &[], "a"), [1, 2]);
    assert_eq!(test.numbers(), [1, 2]);
    assert_eq!(test.read(2, &[], "b"), [4]);
    test.confirm(parts[0].lane);
    test.confirm(parts[0].lane);
    test.lanes.returned(parts[0].lane, None, test.now);
    assert_eq!(test.numbers(), [4]);
    assert_eq!((test.read(2, &[], "a"), test.numbers()), (vec![3], vec![3]));
}

/// Guards: a queue whose first message is to be read again keeps none of the others. They would take
/// up the room that the first one needs.
#[test]
fn behind_an_event_that_is_to_be_read_again_no_message_is_kept() {
    let mut test = Test::new(&["a", "a"]);
    let most = Amount { events: 1, ..ALL };
    let parts = test.lanes.next_batch(most, usize::MAX).parts;
    test.untried(parts[0].lane);
    test.arrive(event(3, "a"));
    assert_eq!(test.lanes.loaded(), Amount::default());
    test.numbers();
    test.read(MANY, &[], "a");
    let parts = test.lanes.next_batch(most, usize::MAX).parts;
    test.lanes.bury(parts[0].lane);
    assert_eq!(test.lanes.loaded(), Amount::default());
    // The one that is being buried is not read again.
    let mut test = Test::new(&["a"]);
    let (_, parts) = test.send();
    test.lanes.bury(parts[0].lane);
    test.arrive(event(2, "a"));
    assert_eq!(test.lanes.loaded().events, 1);
}

#[test]
fn a_row_that_is_no_message_becomes_a_dead_letter_when_its_turn_comes() {
    let mut test = Test::new(&["a"]);
    let row = FoundEvent {
        message: Err("no JSON".into()),
        attempts: 2,
        ..event(2, "b")
    };
    test.arrive(row);
    assert_eq!(test.lanes.take_unreadable(), []);
    assert_eq!(test.numbers(), [1]);
    let letter = NewDeadLetter {
        place: place(2),
        shard: shard("b"),
        attempts: 2,
        reason: "no JSON".into(),
    };
    assert_eq!(test.lanes.take_unreadable(), [letter]);
    assert_eq!(test.numbers(), NONE);
    let burying = test.lanes.burying();
    assert_eq!((burying.len(), burying[0].1), (1, place(2)));
    assert_eq!(test.lanes.busy(), shards("a").union(shards("b")));
    test.lanes.buried(burying[0].0, true, test.now);
    assert_eq!(test.lanes.busy(), shards("a"));
    assert!(!test.lanes.knows(&place(2)));
}

#[test]
fn a_row_that_is_no_message_any_more_becomes_a_dead_letter_too() {
    let mut test = Test::new(&["a", "a"]);
    let (_, parts) = test.send();
    test.untried(parts[0].lane);
    assert_eq!(test.numbers(), NONE);
    let wanted = test.lanes.take_wanted(Amount {
        events: MANY,
        bytes: usize::MAX,
    });
    let row = FoundEvent {
        message: Err("no JSON".into()),
        ..event(1, "a")
    };
    test.lanes
        .reloaded(&wanted, vec![row, event(2, "a")], test.now);
    assert_eq!(test.numbers(), NONE);
    assert_eq!(test.lanes.take_unreadable().len(), 1);
    test.lanes.buried(parts[0].lane, true, test.now);
    assert_eq!(test.numbers(), [2]);
}
