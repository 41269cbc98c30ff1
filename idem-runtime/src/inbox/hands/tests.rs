use super::*;
use crate::store::taken;

const LEASE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_secs(1);

/// Hands that have taken these: numbers and keys.
fn with(messages: &[(i64, &str)]) -> (Hands, Instant) {
    let (hands, now) = (Hands::new(POLL), Instant::now());
    take(&hands, messages, now);
    (hands, now)
}

fn take(hands: &Hands, messages: &[(i64, &str)], now: Instant) {
    let messages = messages.iter().map(|(seq, key)| taken(*seq, Some(key), 10));
    let lanes = Look::Lanes(Vec::new(), 0);
    hands.looked(&lanes, Ok(messages.collect()), now + LEASE, now);
}

fn handed_out(hands: &Hands, now: Instant) -> Option<Run> {
    match hands.next(false, now) {
        Step::HandOut(mut run) => {
            run.messages.pop_front();
            Some(run)
        }
        _ => None,
    }
}

fn room(hands: &Hands) -> u32 {
    hands.state().room.of_each(8)
}

/// Guards: one of a key at a time.
#[test]
fn the_next_of_a_key_is_handed_out_when_the_one_before_it_was_handled() {
    let (hands, now) = with(&[(1, "a"), (2, "b"), (3, "a"), (4, "a")]);
    let first = handed_out(&hands, now).unwrap();
    assert_eq!(seqs(&first.messages), [3, 4]);
    let other = handed_out(&hands, now).unwrap();
    assert_eq!(seqs(&other.messages), [0; 0]);
    assert!(handed_out(&hands, now).is_none());
    assert_eq!(hands.go_on(first), [0; 0]);
    let second = handed_out(&hands, now).unwrap();
    assert_eq!(seqs(&second.messages), [4]);
}

/// Guards: what is behind one that goes back is not handed out, and others can have it.
#[test]
fn what_is_behind_one_that_was_dropped_is_put_back() {
    let (hands, now) = with(&[(1, "a"), (2, "a"), (3, "a")]);
    let first = handed_out(&hands, now).unwrap();
    hands.abandon(&first.messages);
    let Step::Look(Look::PutBack(back)) = hands.next(false, now) else {
        panic!("nothing is put back");
    };
    assert_eq!(back, [2, 3]);
}

/// Guards: the end of the lease. Others may have what is behind, and what takes longer to be taken
/// than its lease is handled nevertheless.
#[test]
fn of_those_whose_leases_have_ended_the_first_alone_is_handed_out() {
    let (hands, now) = with(&[(1, "a"), (2, "a"), (3, "a")]);
    let late = now + LEASE;
    let first = handed_out(&hands, late).unwrap();
    assert_eq!(seqs(&first.messages), [0; 0]);
    assert!(matches!(
        hands.next(false, late),
        Step::Look(Look::PutBack(back)) if back == [2, 3]
    ));
}

/// Guards: nothing stays taken when a consumer ends in order.
#[test]
fn at_the_end_all_that_was_not_handed_out_is_put_back() {
    let (hands, now) = with(&[(1, "a"), (2, "a"), (3, "b")]);
    let first = handed_out(&hands, now).unwrap();
    let Step::Look(look @ Look::PutBack(_)) = hands.next(true, now) else {
        panic!("nothing is put back");
    };
    assert!(matches!(&look, Look::PutBack(back) if *back == [3]));
    assert!(matches!(hands.next(true, now), Step::Wait(None)));
    hands.looked(&look, Ok(Vec::new()), now, now);
    assert!(matches!(hands.next(true, now), Step::End));
    // What runs may end after that.
    assert_eq!(hands.go_on(first), [2]);
    hands.ended([7; 16]);
    assert!(matches!(hands.next(true, now), Step::End));
}

/// Guards: what is in memory has a bound, whatever was done with it.
#[test]
fn what_left_has_room_again() {
    let (hands, now) = with(&[(0, "z")]);
    handed_out(&hands, now).unwrap();
    let free = room(&hands);
    assert_eq!(free, 16);
    let all: Vec<_> = (1..=120).map(|seq| (seq, "a")).collect();
    take(&hands, &all, now);
    assert_eq!(room(&hands), 1);
    let run = handed_out(&hands, now).unwrap();
    hands.go_on(run);
    let run = handed_out(&hands, now).unwrap();
    assert_eq!(hands.give_up(&run.messages).len(), 118);
    assert_eq!(room(&hands), free);
}

#[test]
fn a_key_whose_last_message_is_done_is_looked_for_in_turn_with_all() {
    let (hands, now) = with(&[]);
    let Step::Look(all @ Look::All(_)) = hands.next(false, now) else {
        panic!("nothing is looked for at first");
    };
    hands.looked(&all, Ok(Vec::new()), now, now);
    assert!(matches!(hands.next(false, now), Step::Wait(Some(at)) if at == now + POLL));
    hands.ended([7; 16]);
    let late = now + POLL + POLL;
    let Step::Look(lanes @ Look::Lanes(..)) = hands.next(false, late) else {
        panic!("the key is not looked for");
    };
    hands.looked(&lanes, Ok(Vec::new()), late, late);
    hands.ended([7; 16]);
    assert!(matches!(hands.next(false, late), Step::Look(Look::All(_))));
}

/// Guards: an error is reported once, and what failed is done again.
#[test]
fn what_could_not_be_read_is_read_again() {
    let (hands, now) = with(&[]);
    for _ in 0..2 {
        let Step::Look(all @ Look::All(_)) = hands.next(false, now + POLL) else {
            panic!("nothing is looked for");
        };
        hands.looked(&all, Err(sqlx::Error::PoolClosed), now, now);
        assert!(matches!(hands.next(false, now), Step::Failed(_)));
    }
    assert!(matches!(hands.next(false, now), Step::Look(Look::All(_))));
    assert!(matches!(hands.next(false, now), Step::Wait(None)));
    hands.interrupted();
    assert!(matches!(hands.next(false, now), Step::Look(Look::All(_))));
}

/// Guards: a key that ends twice before it is looked for. PostgreSQL refuses to find a message twice.
#[test]
fn a_key_that_ends_twice_is_looked_for_once_and_no_more_are_remembered_than_can_be() {
    let (hands, now) = with(&[]);
    // The first look is for everything.
    let Step::Look(all @ Look::All(_)) = hands.next(false, now) else {
        panic!("nothing is looked for");
    };
    let lane_of = |key: u32| crate::store::lane(&key.to_string());
    for key in [1, 2, 1] {
        hands.ended(lane_of(key));
    }
    hands.looked(&all, Ok(Vec::new()), now + LEASE, now);
    let Step::Look(look @ Look::Lanes(..)) = hands.next(false, now) else {
        panic!("no key is looked for");
    };
    let Look::Lanes(lanes, _) = &look else {
        unreachable!("it is one of lanes");
    };
    assert_eq!(lanes, &[lane_of(1), lane_of(2)]);
    hands.looked(&look, Ok(Vec::new()), now + LEASE, now);
    assert!(!hands.state().looks_for_all);
    for key in 0..2_000 {
        hands.ended(lane_of(key));
    }
    let state = hands.state();
    assert!(state.looks_for_all);
    assert_eq!(state.ended.len(), MOST_ENDED);
}
