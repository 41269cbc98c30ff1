//! Shutdown and rebalance.

use std::time::Duration;

use idem_runtime::{Consumer, Partition};
use idem_testing::{Settled, TestSource};

use super::{Perform, Running, attempts, consumer, start};
use crate::stage::{Act, Stage, redelivered, step};

/// Guards: what waits goes back at once and what runs may end.
#[tokio::test]
async fn a_shutdown_lets_what_runs_end_and_gives_the_rest_back() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let mut running = Running::start(&db.pool, consumer(&source, &stage));
    let runs = source.deliver(step("a", 1, Act::Wait));
    let behind = source.deliver(step("a", 2, Act::Succeed));
    let waits = source.deliver(step("b", 3, Act::Fail));
    stage.until_begun(2).await;
    source.wait_taken(3).await;
    running.begin_shutdown();
    behind
        .assert_settled(Settled::GivenBack(Duration::ZERO))
        .await;
    let Settled::GivenBack(_) = waits.wait_settled().await else {
        panic!("{:?}", waits.settled());
    };
    assert!(source.is_stopped() && runs.settled().is_none());
    stage.let_go(1);
    runs.assert_settled(Settled::Acked).await;
    let stats = running.ended().await.unwrap();
    assert_eq!((stats.handled, stage.ended().len()), (1, 2));
}

/// Guards: `shutdown_timeout`. An interrupted attempt is none, and rolled back.
#[tokio::test]
async fn what_does_not_end_in_time_is_interrupted_unharmed() {
    let db = start().await;
    db.execute("CREATE TABLE effects (id varchar(100) NOT NULL)")
        .await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let with = Consumer::new("steps", source.clone()).on_with::<Perform>(stage.clone());
    let mut running = Running::start(&db.pool, with);
    let stuck = source.deliver(redelivered("a", 1, Act::Wait));
    stage.until_begun(1).await;
    assert_eq!(attempts(&db).await, ["step-1 1"]);
    running.begin_shutdown();
    source.advance_to_next().await;
    stuck
        .assert_settled(Settled::GivenBack(Duration::ZERO))
        .await;
    running.ended().await.unwrap();
    assert_eq!(attempts(&db).await, ["step-1 0"]);
    db.assert_no_open_transaction().await;
    assert_eq!(db.effects().await, [""; 0]);
}

/// Guards: the handover waits for what runs, and nothing of the partition is begun or settled after
/// it. Other partitions go on.
#[tokio::test]
async fn a_revoked_partition_is_handed_over_once_nothing_of_it_runs() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let [one, two] = [Partition(1), Partition(2)];
    let runs = source.deliver_from(one, step("a", 1, Act::Wait));
    let behind = source.deliver_from(one, step("a", 2, Act::Succeed));
    let waits = source.deliver_from(one, step("b", 3, Act::Fail));
    stage.until_begun(2).await;
    source.wait_taken(3).await;
    let handed_over = source.revoke([one]);
    behind.assert_settled(Settled::Dropped).await;
    waits.assert_settled(Settled::Dropped).await;
    let other = source.deliver_from(two, step("a", 4, Act::Succeed));
    other.assert_settled(Settled::Acked).await;
    assert!(!handed_over.is_done());
    stage.let_go(1);
    handed_over.wait().await;
    assert_eq!(runs.settled(), Some(Settled::Acked));
    running.stop().await;
}

/// Guards: a handler that hangs does not hold up a rebalance for ever.
#[tokio::test]
async fn a_revoked_partition_is_handed_over_in_time_whatever_runs() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let stuck = source.deliver_from(Partition(1), step("a", 1, Act::Wait));
    stage.until_begun(1).await;
    let handed_over = source.revoke([Partition(1)]);
    source.advance_to_next().await;
    handed_over.wait().await;
    stuck.assert_settled(Settled::Dropped).await;
    running.stop().await;
}

/// Guards: a source that pauses reports revocations, also to a consumer that has no room.
#[tokio::test]
async fn a_consumer_that_is_full_still_learns_that_a_partition_is_revoked() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let small = consumer(&source, &stage).in_hand(2, 1 << 20);
    let running = Running::start(&db.pool, small);
    let all: Vec<_> = (0..4)
        .map(|n| source.deliver_from(Partition(1), step("a", n, Act::Wait)))
        .collect();
    stage.until_begun(1).await;
    source.wait_paused(true).await;
    assert_eq!(source.taken(), 2);
    let handed_over = source.revoke([Partition(1)]);
    all[1].assert_settled(Settled::Dropped).await;
    stage.let_go(0);
    handed_over.wait().await;
    running.crash().await;
}

/// Guards: no answer of a source is dropped while it is pending: what arrives after the consumer is
/// gone goes back, and the source is stopped.
#[tokio::test]
async fn a_consumer_that_is_dropped_stops_its_source_and_keeps_nothing() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let small = consumer(&source, &stage).in_hand(1, 1 << 20);
    let running = Running::start(&db.pool, small);
    let runs = source.deliver(step("a", 1, Act::Wait));
    stage.until_begun(1).await;
    source.wait_paused(true).await;
    let waits = source.deliver(step("b", 2, Act::Succeed));
    running.crash().await;
    runs.assert_settled(Settled::Dropped).await;
    waits
        .assert_settled(Settled::GivenBack(Duration::ZERO))
        .await;
    assert!(source.is_stopped() && stage.ended().is_empty());
}
