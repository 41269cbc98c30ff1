//! Random sequences: whatever happens, the counts are right.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

/// What others hold of the queues.
#[derive(Default)]
struct Others {
    /// With a publisher.
    sent: Vec<LaneId>,
    unsettled: Vec<Left>,
    reading: Vec<Vec<(LaneId, Place)>>,
    next: i64,
}

const KEYS: [&str; 4] = ["a", "b", "c", ""];

const MOST: Amount = Amount {
    events: 4,
    bytes: 5 * SIZE,
};

#[test]
fn the_counts_are_right_after_any_sequence_and_come_back_to_nothing() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut test, mut others) = (Test::new(&[]), Others::default());
        for _ in 0..200 {
            step(&mut test, &mut others, &mut rng);
            check(&test.lanes, &others);
        }
        drain(&mut test, &mut others);
        test.assert_empty();
    }
}

fn step(test: &mut Test, others: &mut Others, rng: &mut StdRng) {
    let now = test.now;
    let sent = rng.random_range(0..others.sent.len().max(1));
    let lane = others.sent.get(sent).copied();
    match rng.random_range(0..14) {
        0..3 => {
            others.next += 1;
            let mut found = event(others.next, KEYS[rng.random_range(0..KEYS.len())]);
            if rng.random_ratio(1, 6) {
                found.retry_in = Some(Duration::from_millis(rng.random_range(0..20)));
            }
            if rng.random_ratio(1, 12) {
                found.message = Err("no message".into());
            }
            test.lanes.arrive(found, now, rng.random_range(1..4));
        }
        3 | 4 => {
            let batch = test.lanes.next_batch(MOST, usize::MAX);
            let unreadable = test.lanes.take_unreadable().len();
            assert!(unreadable <= test.lanes.burying().len());
            for part in batch.parts {
                assert!(!others.sent.contains(&part.lane), "in two calls");
                assert!(part.count > 0);
                others.sent.push(part.lane);
            }
        }
        5 | 6 => {
            if let Some(lane) = lane {
                let is_last = test.lanes.by_id[&lane].state == State::Sent(1);
                others.unsettled.extend(test.lanes.leave(lane));
                if is_last {
                    others.sent.swap_remove(sent);
                    test.lanes.returned(lane, None, now);
                }
            }
        }
        7 => {
            if let Some(lane) = lane {
                others.sent.swap_remove(sent);
                match rng.random_range(0..3) {
                    0 => test.untried(lane),
                    1 => test.lanes.bury(lane),
                    _ => {
                        let after = Duration::from_millis(rng.random_range(0..20));
                        test.fail(lane, after, rng.random());
                    }
                }
            }
        }
        8 => {
            if let Some(left) = others.unsettled.pop() {
                test.lanes.settled(left.place, left.shard);
            }
        }
        9 => {
            if let Some((lane, _)) = test.lanes.burying().first() {
                test.lanes.buried(*lane, rng.random(), now);
            }
        }
        10 => {
            let wanted = test.lanes.take_wanted(Amount {
                events: rng.random_range(1..4),
                bytes: usize::MAX,
            });
            others
                .reading
                .extend(Some(wanted).filter(|all| !all.is_empty()));
            if let Some(wanted) = others.reading.pop() {
                read(test, wanted, rng);
            }
        }
        11 => {
            let lanes = test.lanes.by_id.iter();
            let first = lanes.filter_map(|(id, lane)| Some((*id, lane.events.front()?.place)));
            if let Some((lane, place)) = first.min() {
                let left = test.lanes.confirmed_late(lane, place, now);
                others.unsettled.extend(left);
            }
        }
        12 => {
            let lost = shards(KEYS[rng.random_range(0..KEYS.len())]);
            if rng.random() {
                test.lanes.lose(lost);
            } else {
                test.lanes.regain(lost);
            }
        }
        _ => {
            test.now += Duration::from_millis(rng.random_range(0..10));
            test.lanes.wake(test.now);
        }
    }
}

fn read(test: &mut Test, wanted: Vec<(LaneId, Place)>, rng: &mut StdRng) {
    if rng.random_ratio(1, 4) {
        test.lanes.want_again(wanted);
        return;
    }
    let found = wanted.iter().filter(|_| rng.random_ratio(3, 4));
    let found = found.map(|(_, place)| event(place.seq, "a")).collect();
    test.lanes.reloaded(&wanted, found, test.now);
}

/// Counts everything anew.
fn check(lanes: &Lanes, others: &Others) {
    let (mut loaded, mut known, mut busy) = (Amount::default(), 0, [0; SHARDS as usize]);
    for left in &others.unsettled {
        known += 1;
        busy[usize::from(left.shard)] += 1;
    }
    for (id, lane) in &lanes.by_id {
        let sent = match lane.state {
            State::Sent(count) => count,
            _ => 0,
        };
        assert_eq!(sent > 0, others.sent.contains(id));
        let is_burying = usize::from(lane.state == State::Burying);
        busy[usize::from(lane.shard)] += u32::try_from(sent + is_burying).unwrap();
        let turns = lanes.ready.iter().filter(|ready| *ready == id).count();
        assert_eq!(turns, usize::from(lane.state == State::Ready), "{lane:?}");
        let waits = lanes.waiting.iter().filter(|(_, waiting)| waiting == id);
        let is_waiting = matches!(lane.state, State::Waiting(_));
        assert_eq!(waits.count(), usize::from(is_waiting));
        let mut is_unread = false;
        for (at, event) in lane.events.iter().enumerate() {
            known += 1;
            let is_loaded = matches!(event.content, Content::Loaded(_));
            assert!(!(is_loaded && is_unread), "behind one that is not");
            let is_away = matches!(event.content, Content::Away);
            is_unread |= is_away && at >= sent + is_burying;
            if is_loaded || at < sent {
                loaded.events += 1;
                loaded.bytes += event.size;
            }
        }
        assert!(known > 0 || !lane.events.is_empty());
    }
    assert_eq!((lanes.loaded, lanes.len()), (loaded, known));
    assert_eq!(lanes.busy.0, busy);
}

fn drain(test: &mut Test, others: &mut Others) {
    let mut rng = StdRng::seed_from_u64(0);
    for _ in 0..10_000 {
        if test.lanes.is_empty() {
            return;
        }
        for lane in others.sent.drain(..) {
            while let Some(State::Sent(1..)) = test.lanes.by_id.get(&lane).map(|lane| lane.state) {
                others.unsettled.extend(test.lanes.leave(lane));
            }
            test.lanes.returned(lane, None, test.now);
        }
        for left in others.unsettled.drain(..) {
            test.lanes.settled(left.place, left.shard);
        }
        for (lane, _) in test.lanes.burying() {
            test.lanes.buried(lane, true, test.now);
        }
        let wanted = test.lanes.take_wanted(Amount {
            events: 3,
            bytes: usize::MAX,
        });
        read(test, wanted, &mut rng);
        test.now += Duration::from_millis(1);
        test.lanes.wake(test.now);
        let batch = test.lanes.next_batch(MOST, usize::MAX);
        test.lanes.take_unreadable();
        others.sent.extend(batch.parts.iter().map(|part| part.lane));
    }
}
