use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;
use uuid::Uuid;

use super::*;

fn place(seq: usize) -> Place {
    Place {
        seq: i64::try_from(seq).unwrap(),
        id: Uuid::from_u128(seq as u128),
    }
}

/// One call with so many messages of each queue; the queues are numbered from 1.
struct Test {
    calls: Calls,
    batch: u64,
    deadline: Instant,
}

impl Test {
    fn new(counts: &[usize]) -> Self {
        let (mut calls, deadline) = (Calls::default(), Instant::now());
        let parts: Vec<_> = (1..)
            .zip(counts)
            .map(|(lane, count)| Part {
                lane,
                count: *count,
            })
            .collect();
        let places = (0..counts.iter().sum()).map(place).collect();
        let batch = calls.begin(&parts, places, deadline);
        Self {
            calls,
            batch,
            deadline,
        }
    }

    fn verdict(&mut self, index: usize, verdict: Result<(), PublishError>) -> Vec<Step> {
        let mut steps = Vec::new();
        let until = self.deadline;
        self.calls
            .verdict(self.batch, index, verdict, until, &mut steps);
        steps
    }

    fn ended(&mut self, how: NoVerdict) -> Vec<Step> {
        let mut steps = Vec::new();
        self.calls.ended(self.batch, how, &mut steps);
        steps
    }

    fn dropped(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        self.calls.dropped(self.batch, &mut steps);
        steps
    }

    fn give_up_late(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        self.calls.give_up_late(now, &mut steps);
        steps
    }

    fn assert_forgotten(&self) {
        assert_eq!((self.calls.open(), self.calls.by_number.len()), (0, 0));
        assert_eq!(self.calls.next_deadline(), None);
    }
}

fn busy() -> PublishError {
    PublishError::retryable("busy")
}

fn never() -> PublishError {
    PublishError::permanent("never")
}

fn failed(lane: LaneId, error: PublishError) -> Step {
    Step::Returned(lane, Some(Failure::Error(error)))
}

#[test]
fn verdicts_count_from_the_first_event_on_in_whatever_order_they_come() {
    let mut test = Test::new(&[3]);
    assert_eq!(test.verdict(2, Ok(())), []);
    assert_eq!(test.verdict(0, Ok(())), [Step::Confirmed(1)]);
    assert_eq!(test.calls.open(), 1);
    let rest = [Step::Confirmed(1), Step::Confirmed(1)];
    let returned = Step::Returned(1, None);
    assert_eq!(
        test.verdict(1, Ok(())),
        rest.into_iter().chain([returned]).collect::<Vec<_>>()
    );
    assert_eq!(test.ended(NoVerdict::Returned), []);
    assert_eq!(test.dropped(), []);
    test.assert_forgotten();
}

/// What was confirmed behind a failure is published again, after what failed.
#[test]
fn a_failure_stops_its_own_key_and_nothing_counts_that_is_behind_it() {
    let mut test = Test::new(&[3, 1]);
    assert_eq!(test.verdict(2, Ok(())), []);
    assert_eq!(test.verdict(0, Ok(())), [Step::Confirmed(1)]);
    assert_eq!(test.verdict(1, Err(busy())), [failed(1, busy())]);
    assert_eq!(
        test.verdict(3, Ok(())),
        [Step::Confirmed(2), Step::Returned(2, None)]
    );
}

/// The publisher may still be sending later ones of the key until it has said how they ended.
#[test]
fn a_queue_returns_only_when_nothing_of_it_is_with_the_publisher() {
    let mut test = Test::new(&[2]);
    assert_eq!(test.verdict(0, Err(busy())), []);
    assert_eq!(test.verdict(1, Err(busy())), [failed(1, busy())]);
    let mut test = Test::new(&[2]);
    assert_eq!(test.verdict(0, Err(busy())), []);
    assert_eq!(test.ended(NoVerdict::Returned), []);
    assert_eq!(test.dropped(), [failed(1, busy())]);
    test.assert_forgotten();
}

#[test]
fn a_permanent_refusal_lets_those_behind_it_go_on() {
    let mut test = Test::new(&[3]);
    assert_eq!(test.verdict(1, Ok(())), []);
    assert_eq!(
        test.verdict(0, Err(never())),
        [Step::Refused(1, never()), Step::Confirmed(1)]
    );
    assert_eq!(
        test.verdict(2, Err(never())),
        [Step::Refused(1, never()), Step::Returned(1, None)]
    );
}

#[test]
fn a_call_that_ends_early_fails_the_messages_without_a_verdict_and_no_others() {
    let ways = [
        NoVerdict::Returned,
        NoVerdict::Panicked,
        NoVerdict::TimedOut,
    ];
    for how in ways {
        let mut test = Test::new(&[2, 1, 2]);
        assert_eq!(test.verdict(0, Ok(())), [Step::Confirmed(1)]);
        test.verdict(2, Ok(()));
        // In order from the queue's first event, which has none.
        assert_eq!(test.verdict(4, Ok(())), []);
        assert_eq!(test.dropped(), []);
        let none = || Some(Failure::NoVerdict(how));
        assert_eq!(
            test.ended(how),
            [Step::Returned(1, none()), Step::Returned(3, none())]
        );
        test.assert_forgotten();
    }
}

#[test]
fn when_the_receiver_takes_nothing_those_without_a_verdict_were_not_tried() {
    let down = || PublishError::unavailable("down");
    let mut test = Test::new(&[2, 1, 2]);
    assert_eq!(test.verdict(2, Err(down())), [failed(2, down())]);
    assert_eq!(test.verdict(3, Err(busy())), []);
    test.dropped();
    assert_eq!(
        test.ended(NoVerdict::Returned),
        [Step::Returned(1, Some(Failure::Untried)), failed(3, busy())]
    );
    test.assert_forgotten();
}

#[test]
fn a_batch_that_was_moved_elsewhere_counts_until_it_is_dropped() {
    let mut test = Test::new(&[2]);
    assert_eq!(test.ended(NoVerdict::Returned), []);
    assert_eq!(test.verdict(0, Ok(())), [Step::Confirmed(1)]);
    assert_eq!(
        test.dropped(),
        [Step::Returned(
            1,
            Some(Failure::NoVerdict(NoVerdict::Returned))
        )]
    );
    test.assert_forgotten();
}

#[test]
fn a_batch_that_is_dropped_after_its_last_verdict_is_forgotten() {
    let mut test = Test::new(&[1]);
    test.ended(NoVerdict::Returned);
    test.verdict(0, Ok(()));
    assert_eq!(test.dropped(), []);
    test.assert_forgotten();
}

#[test]
fn a_call_past_its_deadline_is_given_up_and_what_it_confirms_later_is_told() {
    let mut test = Test::new(&[2, 1]);
    let deadline = test.deadline;
    test.verdict(2, Ok(()));
    let before = deadline.checked_sub(Duration::from_nanos(1)).unwrap();
    assert_eq!(test.give_up_late(before), []);
    assert_eq!(test.calls.next_deadline(), Some(deadline));
    assert_eq!(
        test.give_up_late(deadline),
        [Step::Returned(
            1,
            Some(Failure::NoVerdict(NoVerdict::TimedOut))
        )]
    );
    assert_eq!((test.calls.open(), test.calls.next_deadline()), (0, None));
    assert_eq!(test.give_up_late(deadline), []);
    assert_eq!(test.verdict(0, Err(busy())), []);
    assert_eq!(test.verdict(1, Ok(())), [Step::ConfirmedLate(1, place(1))]);
    assert_eq!(test.dropped(), []);
    test.assert_forgotten();
    assert_eq!(test.ended(NoVerdict::Returned), []);
}

/// Guards: a publisher that sends one message after the other is slow, and does not hang.
#[test]
fn a_verdict_gives_a_call_more_time() {
    let mut test = Test::new(&[1, 1]);
    let first = test.deadline;
    test.deadline += Duration::from_secs(1);
    test.verdict(0, Ok(()));
    assert_eq!(test.give_up_late(first), []);
    assert_eq!(test.calls.next_deadline(), Some(test.deadline));
    assert_eq!(test.give_up_late(test.deadline).len(), 1);
}

#[test]
fn calls_that_are_late_together_are_given_up_in_the_order_in_which_they_began() {
    let (mut calls, now) = (Calls::default(), Instant::now());
    for lane in 1..=40 {
        calls.begin(&[Part { lane, count: 1 }], vec![place(1)], now);
    }
    let mut steps = Vec::new();
    assert_eq!(calls.give_up_late(now, &mut steps).len(), 40);
    let lanes = steps.iter().map(|step| match step {
        Step::Returned(lane, _) => *lane,
        other => panic!("{other:?}"),
    });
    assert!(lanes.eq(1..=40));
}

#[test]
fn a_verdict_on_what_is_not_known_changes_nothing() {
    let mut test = Test::new(&[1]);
    let mut steps = Vec::new();
    test.calls.verdict(99, 0, Ok(()), test.deadline, &mut steps);
    test.calls.ended(99, NoVerdict::Returned, &mut steps);
    test.calls.dropped(99, &mut steps);
    assert_eq!(steps, []);
    assert_eq!(test.verdict(1, Ok(())), []);
    assert_eq!(test.calls.open(), 1);
}

/// Whatever the order of what is heard, each queue returns once, and after exactly as many steps as
/// its verdicts are worth from the first one on.
#[test]
fn in_any_order_each_queue_returns_once_with_its_prefix() {
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..2_000 {
        let counts: Vec<usize> = (0..rng.random_range(1..4))
            .map(|_| rng.random_range(1..4))
            .collect();
        let mut test = Test::new(&counts);
        let total: usize = counts.iter().sum();
        let mut verdicts: Vec<_> = (0..total)
            .map(|_| match rng.random_range(0..6) {
                0 => Some(Err(busy())),
                1 => Some(Err(never())),
                2 => None,
                _ => Some(Ok(())),
            })
            .collect();
        let mut order: Vec<_> = (0..total).collect();
        order.shuffle(&mut rng);
        let mut steps = Vec::new();
        let ended_first = rng.random();
        if ended_first {
            steps.extend(test.ended(NoVerdict::Returned));
        }
        for index in order {
            if let Some(verdict) = &verdicts[index] {
                steps.extend(test.verdict(index, verdict.clone()));
            }
        }
        steps.extend(test.dropped());
        if !ended_first {
            steps.extend(test.ended(NoVerdict::Returned));
        }
        let mut expected = Vec::new();
        for (lane, count) in (1..).zip(&counts) {
            let verdicts = verdicts.drain(..*count).collect();
            expected.push(of_queue(lane, verdicts));
        }
        for (lane, expected) in (1..).zip(expected) {
            let found = steps.iter().filter(|step| match step {
                Step::Confirmed(id) | Step::Refused(id, _) | Step::Returned(id, _) => *id == lane,
                Step::ConfirmedLate(..) => false,
            });
            assert!(found.eq(&expected), "{steps:?}, not {expected:?}");
        }
        test.assert_forgotten();
    }
}

/// What follows from these verdicts of one queue.
fn of_queue(lane: LaneId, verdicts: Vec<Option<Result<(), PublishError>>>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut failure = None;
    for verdict in verdicts {
        match verdict {
            Some(Ok(())) => steps.push(Step::Confirmed(lane)),
            Some(Err(error)) if error.is_permanent() => steps.push(Step::Refused(lane, error)),
            Some(Err(error)) => failure = Some(Failure::Error(error)),
            None => failure = Some(Failure::NoVerdict(NoVerdict::Returned)),
        }
        if failure.is_some() {
            break;
        }
    }
    steps.push(Step::Returned(lane, failure));
    steps
}
