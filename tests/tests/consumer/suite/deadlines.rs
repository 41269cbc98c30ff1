//! The broker never thinks that the consumer has died.

use std::time::Duration;

use idem_testing::{Settled, TestSource};

use super::{Running, consumer, start};
use crate::stage::{Act, Stage, step};

/// Guards: the timer that extends everything that is not settled.
#[tokio::test]
async fn a_deadline_is_extended_while_a_delivery_runs_or_waits() {
    let db = start().await;
    let deadline = Duration::from_secs(30);
    let (source, stage) = (TestSource::new().deadline(deadline), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let runs = source.deliver(step("a", 1, Act::Wait));
    let behind = source.deliver(step("a", 2, Act::Succeed));
    stage.until_begun(1).await;
    source.wait_taken(2).await;
    for times in 1..=20 {
        source.advance(deadline / 3);
        runs.wait_extended(times).await;
        behind.wait_extended(times).await;
    }
    stage.let_go(1);
    behind.assert_settled(Settled::Acked).await;
    runs.assert_settled(Settled::Acked).await;
    running.stop().await;
}

/// Guards: what the broker took back leaves its lane, and what came after it goes back, too.
#[tokio::test]
async fn a_lost_delivery_is_forgotten_and_nothing_overtakes_it() {
    let db = start().await;
    let deadline = Duration::from_secs(30);
    let (source, stage) = (TestSource::new().deadline(deadline), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let runs = source.deliver(step("a", 1, Act::Wait));
    let lost = source.deliver(step("a", 2, Act::Succeed));
    let behind = source.deliver(step("a", 3, Act::Succeed));
    stage.until_begun(1).await;
    source.wait_taken(3).await;
    lost.lose();
    source.advance(deadline / 3);
    lost.assert_settled(Settled::Dropped).await;
    behind
        .assert_settled(Settled::GivenBack(Duration::ZERO))
        .await;
    stage.let_go(1);
    runs.assert_settled(Settled::Acked).await;
    assert_eq!(stage.begun(), [(1, 1)]);
    running.stop().await;
}
