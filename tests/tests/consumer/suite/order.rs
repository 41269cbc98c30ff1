//! In order per key, keys side by side.

use idem_runtime::Partition;
use idem_testing::{Settled, TestSource};

use super::{Running, consumer, start};
use crate::stage::{Act, Stage, step};

/// Guards: one delivery of a lane runs at a time, and lanes run side by side.
#[tokio::test]
async fn one_of_a_key_runs_at_a_time_and_other_keys_go_on() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let first = source.deliver(step("a", 1, Act::Wait));
    let second = source.deliver(step("a", 2, Act::Succeed));
    let other = source.deliver(step("b", 3, Act::Succeed));
    let mut keyless = step("", 4, Act::Succeed);
    keyless.key = None;
    let keyless = source.deliver(keyless);
    let elsewhere = source.deliver_from(Partition(1), step("a", 5, Act::Succeed));
    for delivery in [other, keyless, elsewhere] {
        delivery.assert_settled(Settled::Acked).await;
    }
    assert_eq!((first.settled(), second.settled()), (None, None));
    stage.let_go(1);
    second.assert_settled(Settled::Acked).await;
    assert_eq!(stage.ended().last(), Some(&2));
    running.stop().await;
}

/// Guards: a delivery that failed stays at the head of its lane, which waits alone.
#[tokio::test]
async fn a_delivery_that_waits_for_its_next_attempt_holds_back_its_key_alone() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let failing = source.deliver(step("a", 1, Act::FailUntil(3)));
    let behind = source.deliver(step("a", 2, Act::Succeed));
    stage.until_begun(1).await;
    for n in 10..20 {
        let other = source.deliver(step("b", n, Act::Succeed));
        other.assert_settled(Settled::Acked).await;
    }
    assert_eq!((failing.settled(), behind.settled()), (None, None));
    for attempts in [12, 13] {
        source.advance_to_next().await;
        stage.until_begun(attempts).await;
    }
    behind.assert_settled(Settled::Acked).await;
    let of_a: Vec<_> = stage.begun().into_iter().filter(|(n, _)| *n < 10).collect();
    assert_eq!(of_a, [(1, 1), (1, 2), (1, 3), (2, 1)]);
    let stats = running.stop().await;
    assert_eq!((stats.handled, stats.failed), (12, 2));
}
