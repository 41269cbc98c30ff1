use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

const ONE: Partition = Partition(1);

fn lanes(deliveries: &[(Ticket, Option<&str>)]) -> Lanes {
    let mut lanes = Lanes::default();
    for (ticket, key) in deliveries {
        lanes.push(*ticket, ONE, *key);
    }
    lanes
}

fn all(lanes: &mut Lanes) -> Vec<Ticket> {
    std::iter::from_fn(|| lanes.next()).collect()
}

fn assert_empty(lanes: &Lanes) {
    assert!(lanes.by_id.is_empty() && lanes.by_key.is_empty() && lanes.of.is_empty());
    assert!(lanes.ready.is_empty() && lanes.waiting.is_empty() && lanes.held.is_empty());
}

#[test]
fn one_of_a_key_runs_at_a_time_and_keys_run_side_by_side() {
    let mut lanes = lanes(&[
        (1, Some("a")),
        (2, Some("a")),
        (3, Some("b")),
        (4, None),
        (5, None),
    ]);
    assert_eq!(all(&mut lanes), [1, 3, 4, 5]);
    lanes.done(1);
    assert_eq!(all(&mut lanes), [2]);
    lanes.remove_all(&[2, 3, 4, 5]);
    assert_empty(&lanes);
}

#[test]
fn one_key_in_two_partitions_is_two_lanes() {
    let mut lanes = lanes(&[(1, Some("a"))]);
    lanes.push(2, Partition(2), Some("a"));
    assert_eq!(all(&mut lanes), [1, 2]);
}

#[test]
fn a_wait_holds_back_its_own_key_alone() {
    let now = Instant::now();
    let later = now + Duration::from_secs(1);
    let mut lanes = lanes(&[(1, Some("a")), (2, Some("a")), (3, Some("b"))]);
    assert_eq!(lanes.next(), Some(1));
    lanes.wait(1, later);
    assert_eq!(all(&mut lanes), [3]);
    assert_eq!(lanes.next_due(), Some(later));
    lanes.wake(now);
    assert_eq!(lanes.next(), None);
    lanes.wake(later);
    assert_eq!((lanes.next(), lanes.next()), (Some(1), None));
    assert_eq!(lanes.next_due(), None);
}

#[test]
fn what_is_held_runs_again_only_after_it_is_released() {
    let now = Instant::now();
    let mut lanes = lanes(&[(1, Some("a")), (2, None)]);
    assert_eq!(all(&mut lanes), [1, 2]);
    lanes.hold(1);
    lanes.hold(2);
    lanes.wake(now + Duration::from_hours(1));
    assert_eq!(lanes.next(), None);
    lanes.release(|_| now);
    lanes.wake(now);
    let mut again = all(&mut lanes);
    again.sort_unstable();
    assert_eq!(again, [1, 2]);
}

#[test]
fn a_lost_delivery_takes_those_behind_it_and_leaves_those_before_it() {
    let mut lanes = lanes(&[
        (1, Some("a")),
        (2, Some("a")),
        (3, Some("a")),
        (4, Some("b")),
    ]);
    assert_eq!(lanes.lost(2), [2, 3]);
    assert_eq!(all(&mut lanes), [1, 4]);
    assert!(lanes.lost(1).is_empty(), "it runs");
    lanes.remove_all(&[1, 4]);
    assert!(lanes.lost(9).is_empty());
    assert_empty(&lanes);
}

#[test]
fn revoked_partitions_keep_only_what_runs() {
    let mut lanes = lanes(&[(1, Some("a")), (2, Some("a")), (3, None)]);
    lanes.push(4, Partition(2), Some("a"));
    assert_eq!(lanes.next(), Some(1));
    let mut left = lanes.revoke(&[ONE]);
    left.sort_unstable();
    assert_eq!(left, [2, 3]);
    lanes.done(1);
    assert_eq!(all(&mut lanes), [4]);
}

#[test]
fn clearing_leaves_what_runs_and_gives_the_rest_in_their_order() {
    let now = Instant::now();
    let mut lanes = lanes(&[
        (1, Some("a")),
        (2, Some("b")),
        (3, Some("a")),
        (4, Some("b")),
        (5, None),
    ]);
    assert_eq!(lanes.next(), Some(1));
    assert_eq!(lanes.next(), Some(2));
    lanes.wait(2, now);
    assert_eq!(lanes.clear(), [2, 3, 4, 5]);
    assert_eq!(lanes.tail(1), [1]);
    lanes.done(1);
    assert_empty(&lanes);
}

#[test]
fn a_delivery_and_those_behind_it_leave_together() {
    let mut lanes = lanes(&[(1, Some("a")), (2, Some("a")), (3, Some("a")), (4, None)]);
    assert_eq!(lanes.next(), Some(1));
    assert_eq!(lanes.tail(2), [2, 3]);
    assert_eq!(lanes.tail(1), [1, 2, 3]);
    lanes.remove_all(&[1, 2, 3]);
    assert_eq!(all(&mut lanes), [4]);
}

#[test]
fn a_lane_is_crowded_only_while_it_waits() {
    let due = Instant::now();
    let mut lanes = lanes(&[(1, Some("a")), (2, Some("a")), (3, None)]);
    assert_eq!(lanes.crowded(2, 1), None, "it can run");
    assert_eq!(lanes.next(), Some(1));
    assert_eq!(lanes.crowded(2, 1), None, "it runs");
    lanes.wait(1, due);
    assert_eq!(lanes.crowded(2, 2), None);
    assert_eq!(lanes.crowded(2, 1), Some((1, due)));
    lanes.remove_all(&[1, 2]);
    assert_eq!(lanes.next_due(), None);
    assert_eq!(all(&mut lanes), [3]);
}

/// Whatever happens in whatever order, one of a key runs at a time and in the order in which they
/// came, and nothing is left behind.
#[test]
fn random_histories_keep_the_order_of_each_key() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let start = Instant::now();
        let mut now = start;
        let mut lanes = Lanes::default();
        let mut key_of = HashMap::new();
        let mut running: Vec<Ticket> = Vec::new();
        let mut last_done: HashMap<String, Ticket> = HashMap::new();
        let mut next = 0;
        for _ in 0..400 {
            match rng.random_range(0..8) {
                0..=2 => {
                    let key = format!("k{}", rng.random_range(0..4));
                    lanes.push(next, ONE, Some(&key));
                    key_of.insert(next, key);
                    next += 1;
                }
                3 | 4 => {
                    lanes.wake(now);
                    if let Some(ticket) = lanes.next() {
                        let key = &key_of[&ticket];
                        assert!(running.iter().all(|other| &key_of[other] != key));
                        assert!(last_done.get(key).is_none_or(|last| *last < ticket));
                        running.push(ticket);
                    }
                }
                5 if !running.is_empty() => {
                    let ticket = running.swap_remove(rng.random_range(0..running.len()));
                    last_done.insert(key_of[&ticket].clone(), ticket);
                    lanes.done(ticket);
                }
                6 if !running.is_empty() => {
                    let ticket = running.swap_remove(rng.random_range(0..running.len()));
                    if rng.random() {
                        lanes.wait(ticket, now + Duration::from_secs(rng.random_range(0..9)));
                    } else {
                        lanes.hold(ticket);
                    }
                }
                _ => {
                    now += Duration::from_secs(1);
                    lanes.release(|_| now);
                }
            }
        }
        lanes.remove_all(&running);
        lanes.clear();
        assert_empty(&lanes);
    }
}
