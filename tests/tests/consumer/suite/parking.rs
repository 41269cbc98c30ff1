//! What must wait for long is put aside, with what comes after it.

use std::time::Duration;

use idem_runtime::{Backoff, Consumer};
use idem_testing::{Settled, TestSource};

use super::{Database, Running, attempts, consumer, letters, start};
use crate::stage::{Act, Stage, step, within};

/// Puts aside everything that fails, for as long as `longest` at most.
fn impatient(
    source: &TestSource,
    stage: &Stage,
    longest: Duration,
) -> Consumer<TestSource, Database> {
    consumer(source, stage)
        .hold(Duration::ZERO)
        .retry(Backoff::exponential(longest, longest).attempts(3))
}

const SOON: Duration = Duration::from_millis(20);
const LATE: Duration = Duration::from_hours(24);

/// Guards: the place in the inbox is committed before the ack, and later ones of the key follow.
#[tokio::test]
async fn what_waits_for_long_is_put_aside_in_order_and_acknowledged() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, impatient(&source, &stage, SOON));
    let failing = source.deliver(step("a", 1, Act::FailUntil(3)));
    let behind = source.deliver(step("a", 2, Act::Succeed));
    failing.assert_settled(Settled::Acked).await;
    behind.assert_settled(Settled::Acked).await;
    let later = source.deliver(step("a", 3, Act::Succeed));
    later.assert_settled(Settled::Acked).await;
    let other = source.deliver(step("b", 4, Act::Succeed));
    other.assert_settled(Settled::Acked).await;
    stage.until_begun(6).await;
    let of_a: Vec<_> = stage.begun().into_iter().filter(|(n, _)| *n != 4).collect();
    assert_eq!(of_a, [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)]);
    let stats = running.stop().await;
    assert_eq!((stats.failed, stats.dead_lettered), (2, 0));
    assert_eq!((letters(&db).await, attempts(&db).await), (0, vec![]));
    let waiting = db.number("SELECT count(*) FROM idem_inbox WHERE done_at IS NULL");
    assert_eq!(waiting.await, 0);
}

/// Guards: what is put aside is read before the first delivery of a partition runs.
#[tokio::test]
async fn a_later_instance_lets_nothing_overtake_what_was_put_aside() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, impatient(&source, &stage, LATE));
    let failing = source.deliver(step("a", 1, Act::Fail));
    failing.assert_settled(Settled::Acked).await;
    running.stop().await;

    let source = TestSource::new();
    let running = Running::start(&db.another_pool(4).await, impatient(&source, &stage, LATE));
    let same_key = source.deliver(step("a", 2, Act::Succeed));
    let other_key = source.deliver(step("b", 3, Act::Succeed));
    same_key.assert_settled(Settled::Acked).await;
    other_key.assert_settled(Settled::Acked).await;
    assert_eq!(stage.begun(), [(1, 1), (3, 1)]);
    let waiting = db
        .texts("SELECT CAST(id AS char(20)) FROM idem_inbox WHERE done_at IS NULL ORDER BY seq")
        .await;
    let waiting: Vec<_> = waiting.iter().map(|id| id.trim_end()).collect();
    assert_eq!(waiting, ["step-1", "step-2"]);
    running.stop().await;
}

/// Guards: `parked`. Otherwise a broker's backlog would move into the database.
#[tokio::test]
async fn receiving_stops_when_too_much_is_put_aside() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let small = impatient(&source, &stage, LATE).parked(2);
    let running = Running::start(&db.pool, small);
    for n in 1..=2 {
        let failing = source.deliver(step(&format!("k{n}"), n, Act::Fail));
        failing.assert_settled(Settled::Acked).await;
    }
    source.wait_paused(true).await;
    source.deliver(step("b", 3, Act::Succeed));
    assert_eq!(source.taken(), 2);
    // Somebody deletes one of them.
    let one = "DELETE FROM idem_inbox WHERE id = 'step-1'";
    db.execute(one).await;
    source.wait_taken(3).await;
    running.stop().await;
}

/// Guards: the share of one key. Otherwise one that waits would keep all others out of memory.
#[tokio::test]
async fn a_key_that_waits_does_not_fill_the_memory() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let small = consumer(&source, &stage).in_hand(8, 1 << 20);
    let running = Running::start(&db.pool, small);
    let failing = source.deliver(step("a", 0, Act::FailUntil(2)));
    stage.until_begun(1).await;
    let behind: Vec<_> = (1..30)
        .map(|n| source.deliver(step("a", n, Act::Succeed)))
        .collect();
    let other = source.deliver(step("b", 99, Act::Succeed));
    other.assert_settled(Settled::Acked).await;
    failing.assert_settled(Settled::Acked).await;
    for delivery in behind {
        delivery.assert_settled(Settled::Acked).await;
    }
    stage.until_begun(32).await;
    let of_a: Vec<_> = stage
        .begun()
        .iter()
        .map(|(n, _)| *n)
        .filter(|n| *n < 99)
        .collect();
    let expected: Vec<_> = std::iter::once(0).chain(0..30).collect();
    assert_eq!(of_a, expected);
    running.stop().await;
}

/// Guards: a key is compared as it is stored. No database stores this one as it is.
#[tokio::test]
async fn a_key_that_can_not_be_stored_as_it_is_keeps_its_order() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, impatient(&source, &stage, LATE));
    let odd = |n, act| {
        let mut incoming = step("a", n, act);
        incoming.key = Some("a\0".into());
        incoming
    };
    let failing = source.deliver(odd(1, Act::Fail));
    failing.assert_settled(Settled::Acked).await;
    running.stop().await;
    // What is put aside is read when an instance starts.
    let source = TestSource::new();
    let running = Running::start(&db.pool, impatient(&source, &stage, LATE));
    let later = source.deliver(odd(2, Act::Succeed));
    let other = source.deliver(step("b", 3, Act::Succeed));
    later.assert_settled(Settled::Acked).await;
    other.assert_settled(Settled::Acked).await;
    assert_eq!(stage.begun(), [(1, 1), (3, 1)]);
    running.stop().await;
}

/// Guards: what is remembered as done does not keep out what comes again and must wait again.
#[tokio::test]
async fn what_was_put_aside_before_can_be_put_aside_again() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, impatient(&source, &stage, SOON));
    let failing = source.deliver(step("a", 1, Act::Fail));
    failing.assert_settled(Settled::Acked).await;
    stage.until_ended(3).await;
    let done = async {
        let is_done = "SELECT count(*) FROM idem_inbox WHERE done_at IS NOT NULL";
        while db.number(is_done).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    within(done).await;
    assert_eq!(letters(&db).await, 1);
    // Somebody deletes the letter, and the producer sends the message again.
    db.execute("DELETE FROM idem_dead_letters").await;
    let again = source.deliver(step("a", 1, Act::Fail));
    again.assert_settled(Settled::Acked).await;
    stage.until_begun(6).await;
    running.stop().await;
}
