//! Backpressure reaches the broker, and memory and connections are bounded.

use idem_runtime::{Consumer, ConsumerError};
use idem_testing::{Settled, TestSource};

use super::{Db, Play, Running, consumer, start};
use crate::stage::{Act, Stage, step};

/// Guards: the bound in messages, and that what is done makes room.
#[tokio::test]
async fn no_more_is_taken_than_there_is_room_for() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let small = consumer(&source, &stage).in_hand(3, 1 << 20);
    let running = Running::start(&db.pool, small);
    for n in 0..10 {
        source.deliver(step("a", n, Act::Wait));
    }
    source.wait_paused(true).await;
    assert_eq!(source.taken(), 3);
    stage.let_go(0);
    source.wait_taken(4).await;
    source.wait_paused(true).await;
    assert_eq!(source.taken(), 4);
    running.crash().await;
}

/// Guards: the bound in bytes.
#[tokio::test]
async fn large_messages_are_bounded_in_bytes() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let small = consumer(&source, &stage).in_hand(1_000, 250_000);
    let running = Running::start(&db.pool, small);
    for n in 0..10 {
        let mut large = step("a", n, Act::Wait);
        large.headers.insert("x".into(), "x".repeat(100_000));
        source.deliver(large);
    }
    source.wait_paused(true).await;
    assert_eq!(source.taken(), 3);
    running.crash().await;
}

/// Guards: two connections are left for attempts and letters.
#[tokio::test]
async fn no_more_run_at_once_than_the_pool_has_connections_for() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let pool = db.another_pool(5).await;
    let running = Running::start(&pool, consumer(&source, &stage).concurrency(64));
    for n in 0..6 {
        source.deliver(step(&format!("k{n}"), n, Act::Wait));
    }
    source.wait_taken(6).await;
    stage.until_begun(3).await;
    stage.let_go(0);
    stage.until_begun(4).await;
    assert_eq!(stage.begun().len(), 4);
    running.crash().await;
}

#[tokio::test]
async fn a_pool_that_is_too_small_is_refused() {
    let db = Db::empty(2).await;
    db.migrate().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let error = running.ended().await.unwrap_err();
    assert!(
        matches!(error, ConsumerError::PoolTooSmall { connections: 2 }),
        "{error}"
    );
}

#[tokio::test]
async fn two_handlers_of_one_type_and_none_at_all_are_refused() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let two = consumer(&source, &stage).on_type_with::<Play>("Step", stage.clone());
    let error = Running::start(&db.pool, two).ended().await.unwrap_err();
    assert!(
        matches!(error, ConsumerError::TwoHandlers { .. }),
        "{error}"
    );
    let none = Consumer::new("steps", source.clone());
    let error = Running::start(&db.pool, none).ended().await.unwrap_err();
    assert!(matches!(error, ConsumerError::NoHandler), "{error}");
    let fine = consumer(&source, &stage).on_type_with::<Play>("Step.v2", stage.clone());
    let running = Running::start(&db.pool, fine);
    let mut second = step("a", 1, Act::Succeed);
    second.kind = "Step.v2".into();
    let delivery = source.deliver(second);
    delivery.assert_settled(Settled::Acked).await;
    running.stop().await;
}
