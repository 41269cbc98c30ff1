//! An outage uses up no attempts and makes no dead letters.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use idem_testing::{Settled, TestSource};

use super::{Running, attempts, consumer, letters, start};
use crate::stage::{Act, Stage, step};

/// Guards: a failure counts when its attempt could be written. Nothing is started until a write of
/// our own succeeds, and then everything goes on.
#[tokio::test]
async fn while_attempts_can_not_be_written_none_is_used_up() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let before = source.deliver(step("a", 1, Act::Succeed));
    before.assert_settled(Settled::Acked).await;
    db.execute("ALTER TABLE idem_attempts RENAME TO away").await;
    let failing: Vec<_> = (2..6)
        .map(|n| source.deliver(step(&format!("k{n}"), n, Act::FailUntil(2))))
        .collect();
    source.wait_paused(true).await;
    let held_back = source.deliver(step("b", 9, Act::Succeed));
    assert!(failing.iter().all(|delivery| delivery.settled().is_none()));
    db.execute("ALTER TABLE away RENAME TO idem_attempts").await;
    held_back.assert_settled(Settled::Acked).await;
    for delivery in failing {
        while delivery.settled().is_none() {
            source.advance(std::time::Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
        delivery.assert_settled(Settled::Acked).await;
    }
    running.stop().await;
    assert_eq!((letters(&db).await, attempts(&db).await), (0, vec![]));
    // None was given a number that was used up in the outage.
    assert!(
        stage.begun().iter().all(|(_, attempt)| *attempt <= 2),
        "{:?}",
        stage.begun()
    );
}

/// Guards: what fails in an outage is not counted when that is over: it was the outage that failed.
#[tokio::test]
async fn what_fails_in_an_outage_begins_again_with_the_same_attempt() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    source.deliver(step("a", 1, Act::WaitAndFail));
    stage.until_begun(1).await;
    db.execute("ALTER TABLE idem_attempts RENAME TO away").await;
    source.deliver(step("b", 2, Act::Fail));
    source.wait_paused(true).await;
    stage.let_go(1);
    stage.until_ended(2).await;
    db.execute("ALTER TABLE away RENAME TO idem_attempts").await;
    stage.until_begun(4).await;
    let begun = stage.begun();
    let of_one: Vec<_> = begun.iter().filter(|(n, _)| *n == 1).collect();
    assert_eq!(of_one[..2], [&(1, 1), &(1, 1)]);
    running.crash().await;
}

/// Guards: what is given up while the database is away is neither lost nor acknowledged.
#[tokio::test]
async fn a_dead_letter_waits_for_the_database() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    db.execute("ALTER TABLE idem_dead_letters RENAME TO away")
        .await;
    let bad = source.deliver(step("a", 1, Act::GiveUp));
    source.wait_paused(true).await;
    assert_eq!(bad.settled(), None);
    db.execute("ALTER TABLE away RENAME TO idem_dead_letters")
        .await;
    bad.assert_settled(Settled::Acked).await;
    assert_eq!(letters(&db).await, 1);
    running.stop().await;
}

/// Guards: failures of the database in a row stop receiving until it was asked, and no delivery is
/// what asks.
#[tokio::test]
async fn failures_of_the_database_in_a_row_stop_receiving_until_it_is_asked() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    for n in 0..5 {
        source.deliver(step(&format!("k{n}"), n, Act::DatabaseFails));
    }
    source.wait_pauses(1).await;
    // It takes writes, so it goes on.
    source.wait_paused(false).await;
    let other = source.deliver(step("b", 9, Act::Succeed));
    other.assert_settled(Settled::Acked).await;
    running.crash().await;
}

/// Guards: what says nothing against the message is not counted, however often it happens.
#[tokio::test]
async fn what_still_runs_elsewhere_is_not_an_attempt() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let in_flight = source.deliver(step("a", 1, Act::InFlight));
    for attempts in 1..=6 {
        stage.until_begun(attempts).await;
        source.advance_to_next().await;
    }
    assert_eq!((in_flight.settled(), letters(&db).await), (None, 0));
    assert_eq!(attempts(&db).await, [""; 0]);
    let stats = running.stop().await;
    assert_eq!((stats.failed, stats.dead_lettered), (0, 0));
}

/// Guards: missing tables are reported at the start, and waited for later.
#[tokio::test]
async fn a_consumer_without_tables_does_not_start_and_one_that_loses_them_waits() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    db.execute("ALTER TABLE idem_attempts RENAME TO away").await;
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let error = running.ended().await.unwrap_err();
    assert!(error.to_string().contains("migrate"), "{error}");
    db.execute("ALTER TABLE away RENAME TO idem_attempts").await;

    let running = Running::start(&db.pool, consumer(&source, &stage));
    let delivery = source.deliver(step("a", 1, Act::NotMigrated));
    source.wait_pauses(1).await;
    source.wait_paused(false).await;
    assert_eq!((delivery.settled(), letters(&db).await), (None, 0));
    running.crash().await;
}

/// Guards: at the end nothing waits for a database that is away.
#[tokio::test]
async fn a_shutdown_in_an_outage_gives_everything_back_at_once() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let before = source.deliver(step("z", 0, Act::Succeed));
    before.assert_settled(Settled::Acked).await;
    db.execute("ALTER TABLE idem_attempts RENAME TO away").await;
    let all = [
        source.deliver(step("a", 1, Act::Fail)),
        source.deliver(step("a", 2, Act::Succeed)),
        source.deliver(step("b", 3, Act::GiveUp)),
    ];
    source.wait_paused(true).await;
    // The clock of the consumer stands still: no time limit helps.
    running.stop().await;
    for delivery in all {
        let settled = delivery.wait_settled().await;
        assert!(matches!(settled, Settled::GivenBack(_)), "{settled:?}");
    }
    db.execute("ALTER TABLE away RENAME TO idem_attempts").await;
    assert_eq!((letters(&db).await, attempts(&db).await), (0, vec![]));
}

/// Guards: what can't be done before the outage is over wakes nobody. The time that passes here is
/// not waited for something: how often the consumer wakes up is a rate.
#[tokio::test]
async fn an_outage_keeps_no_processor_busy() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let pool = db.another_pool(4).await;
    let with = consumer(&source, &stage);
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&polls);
    let running = tokio::spawn(async move {
        let mut run = pin!(with.run(&pool, pending()));
        poll_fn(|context| {
            counted.fetch_add(1, Ordering::Relaxed);
            run.as_mut().poll(context)
        })
        .await
    });
    let before = source.deliver(step("a", 1, Act::Succeed));
    before.assert_settled(Settled::Acked).await;
    // The consumer looks at what is put aside, and fails.
    db.execute("ALTER TABLE idem_attempts RENAME TO attempts_away")
        .await;
    db.execute("ALTER TABLE idem_inbox RENAME TO inbox_away")
        .await;
    source.wait_paused(true).await;
    let before = polls.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let polls = polls.load(Ordering::Relaxed) - before;
    assert!(polls < 100, "{polls} times in a second");
    running.abort();
}
