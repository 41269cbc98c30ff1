//! How events end: as dead letters, late, or with another relay.

use super::*;

#[test]
fn a_queue_waits_until_its_first_event_is_a_dead_letter() {
    let mut test = Test::new(&["a", "a"]);
    let (_, parts) = test.send();
    let lane = parts[0].lane;
    test.lanes.bury(lane);
    assert_eq!((test.numbers(), test.lanes.busy()), (vec![], shards("a")));
    // Another relay has its shard, or so it seemed: it is tried again.
    test.lanes.buried(lane, false, test.now);
    assert!(test.lanes.busy().is_empty());
    assert_eq!(test.numbers(), NONE);
    assert_eq!(
        (test.read(MANY, &[], "a"), test.numbers()),
        (vec![1, 2], vec![1, 2])
    );
    test.lanes.bury(lane);
    test.lanes.buried(lane, true, test.now);
    assert!(!test.lanes.knows(&place(1)));
    assert_eq!(test.numbers(), NONE);
    assert_eq!(
        (test.read(MANY, &[], "a"), test.numbers()),
        (vec![2], vec![2])
    );
    test.confirm(lane);
    test.lanes.returned(lane, None, test.now);
    test.assert_empty();
}

/// Guards: an event is known by its number and ID. A dead letter that is replayed has its ID and
/// another number, and the relay that buried it may not have heard yet that it did.
#[test]
fn an_event_that_was_replayed_is_another_one() {
    let mut test = Test::new(&["a"]);
    let (_, parts) = test.send();
    let lane = parts[0].lane;
    test.lanes.bury(lane);
    let place = Place { seq: 9, ..place(1) };
    assert!(test.arrive(FoundEvent {
        place,
        ..event(1, "a")
    }));
    test.lanes.buried(lane, true, test.now);
    assert_eq!(test.numbers(), [9]);
}

#[test]
fn what_is_confirmed_late_leaves_its_queue_while_it_waits() {
    let mut test = Test::new(&["a", "a"]);
    let (_, parts) = test.send();
    let lane = parts[0].lane;
    assert_eq!(test.lanes.confirmed_late(lane, place(1), test.now), None);
    test.fail(lane, LATER, true);
    // Behind one that was not confirmed.
    assert_eq!(test.lanes.confirmed_late(lane, place(2), test.now), None);
    let left = test.lanes.confirmed_late(lane, place(1), test.now).unwrap();
    assert_eq!((left.place, left.attempts), (place(1), 1));
    assert_eq!(
        (test.lanes.busy(), test.lanes.next_due()),
        (shards("a"), None)
    );
    assert!(test.lanes.knows(&place(1)), "until it is settled");
    test.lanes.settled(left.place, left.shard);
    let left = test.lanes.confirmed_late(lane, place(2), test.now).unwrap();
    test.lanes.settled(left.place, left.shard);
    test.assert_empty();
}

#[test]
fn what_is_confirmed_late_while_it_is_read_or_sent_again_is_published_again() {
    let mut test = Test::new(&["a"]);
    let (_, parts) = test.send();
    let lane = parts[0].lane;
    test.fail(lane, Duration::ZERO, true);
    assert_eq!(test.numbers(), NONE);
    assert_eq!(test.lanes.confirmed_late(lane, place(1), test.now), None);
    test.read(MANY, &[], "a");
    assert_eq!(test.numbers(), [1]);
    assert_eq!(test.lanes.confirmed_late(lane, place(1), test.now), None);
    test.lanes.bury(lane);
    assert_eq!(test.lanes.confirmed_late(lane, place(1), test.now), None);
}

/// Guards: a queue that late confirmations emptied is removed. It would have its turn twice, and so
/// be in two calls.
#[test]
fn a_queue_that_was_emptied_late_and_filled_anew_is_in_one_call() {
    let mut test = Test::new(&["a"]);
    let (_, parts) = test.send();
    let lane = parts[0].lane;
    test.fail(lane, Duration::ZERO, true);
    let left = test.lanes.confirmed_late(lane, place(1), test.now).unwrap();
    test.lanes.settled(left.place, left.shard);
    test.assert_empty();
    test.arrive(event(2, "a"));
    assert_eq!(test.numbers(), [2]);
    assert_eq!(test.numbers(), NONE);
    assert_eq!(
        test.lanes.take_wanted(Amount {
            events: MANY,
            bytes: usize::MAX
        }),
        []
    );
}

#[test]
fn of_lost_shards_only_what_is_with_the_publisher_stays_until_it_returns() {
    let mut test = Test::new(&["a", "a", "b", "c", "c"]);
    let most = Amount { events: 1, ..ALL };
    let a = test.lanes.next_batch(most, usize::MAX).parts[0].lane;
    let lost = shards("a").union(shards("b"));
    test.lanes.lose(lost);
    assert_eq!(test.lanes.len(), 3);
    assert!(test.lanes.is_lost(a) && test.lanes.knows(&place(1)));
    assert!(!test.lanes.knows(&place(2)) && !test.lanes.knows(&place(3)));
    let (numbers, parts) = test.send();
    assert_eq!(numbers, [4, 5]);
    // It failed: who has the shard now tries it again.
    test.fail(a, LATER, false);
    let c = parts[0].lane;
    test.confirm(c);
    test.confirm(c);
    test.lanes.returned(c, None, test.now);
    test.assert_empty();
}

#[test]
fn a_lost_queue_that_is_being_buried_or_waits_is_forgotten() {
    let mut test = Test::new(&["a", "a", "b", "c"]);
    let (_, parts) = test.send();
    let [a, b, c] = [0, 1, 2].map(|part: usize| parts[part].lane);
    test.lanes.bury(a);
    test.fail(b, LATER, false);
    test.untried(c);
    assert_eq!(test.numbers(), NONE);
    test.lanes.lose(ShardSet::ALL);
    assert_eq!((test.lanes.len(), test.lanes.next_due()), (1, None));
    assert_eq!(test.lanes.busy(), shards("a"));
    test.lanes.buried(a, false, test.now);
    test.assert_empty();
    let wanted = test.lanes.take_wanted(Amount {
        events: MANY,
        bytes: usize::MAX,
    });
    test.lanes.reloaded(&wanted, vec![event(4, "c")], test.now);
    test.assert_empty();
}

/// Guards: what is read of a shard that came back stays when the call returns that was with the
/// publisher all the time.
#[test]
fn a_queue_that_came_back_goes_on_behind_what_is_with_the_publisher() {
    for fails in [false, true] {
        let mut test = Test::new(&["a", "a"]);
        let most = Amount { events: 1, ..ALL };
        let lane = test.lanes.next_batch(most, usize::MAX).parts[0].lane;
        test.lanes.lose(shards("a"));
        test.lanes.regain(shards("b"));
        assert!(test.lanes.is_lost(lane));
        test.lanes.regain(shards("a"));
        assert!(!test.arrive(event(1, "a")), "it is known");
        assert!(test.arrive(event(2, "a")));
        assert_eq!(test.numbers(), NONE);
        if fails {
            test.fail(lane, Duration::ZERO, false);
            assert_eq!(test.numbers(), NONE);
            assert_eq!(test.read(MANY, &[], "a"), [1, 2]);
            assert_eq!(test.numbers(), [1, 2]);
        } else {
            test.confirm(lane);
            test.lanes.returned(lane, None, test.now);
            assert_eq!(test.numbers(), [2]);
        }
    }
}

/// Guards: a publisher with few places has some for every key.
#[test]
fn of_a_key_there_are_no_more_than_asked_for() {
    let mut test = Test::new(&["a", "a", "b", "b"]);
    let batch = test.lanes.next_batch(ALL, 1);
    let counts: Vec<_> = batch.parts.iter().map(|part| part.count).collect();
    assert_eq!(counts, [1, 1]);
}
