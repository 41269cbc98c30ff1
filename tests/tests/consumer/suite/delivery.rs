//! Acknowledged after COMMIT, and a panic is a failed attempt.

use idem_runtime::{Consumer, SourceError};
use idem_testing::{Settled, TestSource};

use super::{Perform, Running, attempts, consumer, letters, start};
use crate::stage::{Act, Stage, redelivered, step};

/// Guards: the ack follows the end of the handler, which is its COMMIT; a duplicate runs nothing.
#[tokio::test]
async fn a_delivery_is_acknowledged_after_its_commit_and_a_duplicate_changes_nothing() {
    let db = start().await;
    db.execute("CREATE TABLE effects (id varchar(100) NOT NULL)")
        .await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let with = Consumer::new("steps", source.clone()).on_with::<Perform>(stage.clone());
    let running = Running::start(&db.pool, with);
    let first = source.deliver(step("a", 1, Act::Wait));
    stage.until_begun(1).await;
    assert_eq!(first.settled(), None);
    stage.let_go(1);
    first.assert_settled(Settled::Acked).await;
    assert_eq!(db.effects().await, ["1"]);
    let again = source.deliver(redelivered("a", 1, Act::Wait));
    again.assert_settled(Settled::Acked).await;
    assert_eq!((db.effects().await.len(), stage.begun().len()), (1, 1));
    let stats = running.stop().await;
    assert_eq!((stats.handled, stats.failed, stats.unsettled), (2, 0, 0));
    assert_eq!(attempts(&db).await, [""; 0]);
}

/// Guards: a settlement without a confirmation is told apart from one with it.
#[tokio::test]
async fn a_settlement_that_the_broker_did_not_confirm_is_not_assumed() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let delivery = source.deliver(step("a", 1, Act::Wait));
    stage.until_begun(1).await;
    delivery.never_confirm();
    stage.let_go(1);
    delivery.wait_settled().await;
    let stats = running.stop().await;
    assert_eq!((stats.handled, stats.unsettled), (1, 1));
}

/// Guards: `catch_unwind` around each run.
#[tokio::test]
async fn a_panic_is_a_failed_attempt_of_that_delivery_alone() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let panics = source.deliver(step("a", 1, Act::Panic));
    let other = source.deliver(step("b", 2, Act::Succeed));
    other.assert_settled(Settled::Acked).await;
    source.advance_to_next().await;
    stage.until_begun(3).await;
    source.advance_to_next().await;
    panics.assert_settled(Settled::Acked).await;
    let stats = running.stop().await;
    assert_eq!(
        (stats.handled, stats.failed, stats.dead_lettered),
        (1, 2, 1)
    );
    assert_eq!(letters(&db).await, 1);
    let reason = db.texts("SELECT reason FROM idem_dead_letters").await;
    assert_eq!(reason, ["the handler panicked"]);
}

/// Guards: an error that is not permanent is asked again, and one that is ends the consumer.
#[tokio::test]
async fn a_source_that_is_away_is_asked_again_and_one_that_is_gone_ends_the_consumer() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    source.fail(SourceError::unavailable("the broker restarts"));
    let delivery = source.deliver(step("a", 1, Act::Succeed));
    delivery.assert_settled(Settled::Acked).await;
    source.fail(SourceError::permanent("no such queue"));
    let error = running.ended().await.unwrap_err();
    assert!(error.to_string().contains("no such queue"), "{error}");
    assert!(source.is_stopped());
}

/// Guards: what was taken is handled when the source has no more.
#[tokio::test]
async fn a_source_that_ends_ends_the_consumer_after_what_came() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let deliveries: Vec<_> = (0..100)
        .map(|n| source.deliver(step(&format!("k{}", n % 7), n, Act::Succeed)))
        .collect();
    source.end();
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let stats = running.ended().await.unwrap();
    assert_eq!(stats.handled, 100);
    for delivery in deliveries {
        assert_eq!(delivery.settled(), Some(Settled::Acked));
    }
}
