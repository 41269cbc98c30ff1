//! Attempts are counted in the database.

use idem_testing::{Settled, TestSource};

use super::{Running, attempts, consumer, letters, start};
use crate::stage::{Act, Stage, redelivered, step};

/// Guards: attempts are the database's, and not an instance's: 3 stay 3, whoever tries.
#[tokio::test]
async fn attempts_are_counted_over_instances_and_restarts() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let first = source.deliver(step("a", 1, Act::Fail));
    source.advance_to_next().await;
    stage.until_begun(2).await;
    let waits = async {
        while attempts(&db).await != ["step-1 2"] {
            tokio::task::yield_now().await;
        }
    };
    crate::stage::within(waits).await;
    running.stop().await;
    assert!(matches!(first.settled(), Some(Settled::GivenBack(_))));

    let source = TestSource::new();
    let running = Running::start(&db.another_pool(4).await, consumer(&source, &stage));
    let again = source.deliver(redelivered("a", 1, Act::Fail));
    again.assert_settled(Settled::Acked).await;
    assert_eq!(stage.begun(), [(1, 1), (1, 2), (1, 3)]);
    assert_eq!((letters(&db).await, attempts(&db).await), (1, vec![]));
    running.stop().await;
}

/// Guards: what may have been handed out before is counted before it runs. Otherwise a message that
/// kills the process comes back for ever.
#[tokio::test]
async fn a_message_that_ends_the_process_is_found_out() {
    let db = start().await;
    let stage = Stage::default();
    for attempt in 1..=3 {
        let source = TestSource::new();
        let running = Running::start(&db.another_pool(4).await, consumer(&source, &stage));
        source.deliver(redelivered("a", 1, Act::Wait));
        stage.until_begun(attempt).await;
        running.crash().await;
    }
    assert_eq!(stage.begun(), [(1, 1), (1, 2), (1, 3)]);
    let source = TestSource::new();
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let last = source.deliver(redelivered("a", 1, Act::Wait));
    last.assert_settled(Settled::Acked).await;
    assert_eq!((stage.begun().len(), letters(&db).await), (3, 1));
    let reason = db.texts("SELECT reason FROM idem_dead_letters").await;
    assert!(
        reason[0].contains("3 times while it was in hand"),
        "{reason:?}"
    );
    running.stop().await;
}

/// Guards: a count above one says as much as `redelivered`.
#[tokio::test]
async fn a_broker_that_counts_need_not_say_redelivered() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let mut second = step("a", 1, Act::Wait);
    second.count = Some(2);
    source.deliver(second);
    let mut first = step("b", 2, Act::Wait);
    first.count = Some(1);
    source.deliver(first);
    stage.until_begun(2).await;
    assert_eq!(attempts(&db).await, ["step-1 1"]);
    running.crash().await;
}

/// Guards: an attempt that was counted before it ran is taken back when it ends well, and one that
/// this consumer interrupted, too.
#[tokio::test]
async fn an_attempt_that_did_not_fail_leaves_no_trace() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let good = source.deliver(redelivered("a", 1, Act::Succeed));
    let in_flight = source.deliver(redelivered("b", 2, Act::InFlight));
    good.assert_settled(Settled::Acked).await;
    source.advance_to_next().await;
    stage.until_begun(3).await;
    // The number of the attempt stays the same, since none has failed.
    assert!(
        stage.begun().iter().all(|(_, attempt)| *attempt == 1),
        "{:?}",
        stage.begun()
    );
    let stats = running.stop().await;
    assert!(matches!(in_flight.settled(), Some(Settled::GivenBack(_))));
    assert_eq!((stats.failed, stats.dead_lettered), (0, 0));
    let left = attempts(&db).await;
    assert!(left.is_empty() || left == ["step-2 0"], "{left:?}");
}

/// Guards: two deliveries of one message, in two partitions or after a lost ack, are counted one
/// after the other.
#[tokio::test]
async fn two_deliveries_of_one_message_are_counted_both() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    for partition in 0..2 {
        let partition = idem_runtime::Partition(partition);
        source.deliver_from(partition, redelivered("a", 1, Act::Wait));
    }
    stage.until_begun(2).await;
    assert_eq!(attempts(&db).await, ["step-1 2"]);
    running.crash().await;
}
