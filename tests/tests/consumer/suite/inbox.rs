//! Messages in the service's own database, and the way back of dead letters.

use std::time::Duration;

use futures_util::future::join_all;
use idem_runtime::{
    Arrival, Backoff, Consumer, Delivery as _, Inbox, Incoming, SettleError, Source as _,
    consumer_dead_letters, purge, replay_consumer_dead_letters,
};
use idem_testing::{Settled, TestSource};

use super::{Database, Db, Play, Pool, Running, attempts, consumer, letters, start};
use crate::stage::{Act, Stage, step, within};

/// Tries again soon.
fn of(inbox: &Inbox<Database>, stage: &Stage) -> Consumer<Inbox<Database>, Database> {
    let soon = Duration::from_millis(20);
    Consumer::new("steps", inbox.clone())
        .on_with::<Play>(stage.clone())
        .retry(Backoff::exponential(soon, soon).attempts(3))
        .hold(Duration::ZERO)
}

fn inbox(pool: &Pool) -> Inbox<Database> {
    Inbox::new(pool.clone(), "steps").poll_interval(Duration::from_millis(10))
}

async fn until_done(db: &Db, messages: i64) {
    let done = async {
        while db
            .number("SELECT count(*) FROM idem_inbox WHERE done_at IS NOT NULL")
            .await
            < messages
        {
            tokio::task::yield_now().await;
        }
    };
    within(done).await;
}

/// Guards: the unique constraint, and that what is done is remembered.
#[tokio::test]
async fn a_message_is_stored_once_and_handled_once() {
    let db = start().await;
    let (inbox, stage) = (inbox(&db.pool), Stage::default());
    assert!(inbox.store(step("a", 1, Act::Succeed)).await.unwrap());
    assert!(!inbox.store(step("a", 1, Act::Succeed)).await.unwrap());
    let running = Running::start(&db.pool, of(&inbox, &stage));
    until_done(&db, 1).await;
    assert!(!inbox.store(step("a", 1, Act::Succeed)).await.unwrap());
    let mut elsewhere = step("a", 1, Act::Succeed);
    elsewhere.source = "/another".into();
    assert!(inbox.store(elsewhere).await.unwrap());
    until_done(&db, 2).await;
    assert_eq!(stage.begun(), [(1, 1), (1, 1)]);
    running.stop().await;
    assert_eq!(purge(&db.pool).await.unwrap().inbox, 0);
}

/// Guards: the fields of a message survive the table.
#[tokio::test]
async fn a_message_comes_out_as_it_went_in() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let mut odd = step("a'b\\", 1, Act::GiveUp);
    odd.headers
        .insert("traceparent".into(), "\"\u{1f600}".into());
    odd.published_at =
        Some(std::time::SystemTime::UNIX_EPOCH + Duration::from_micros(1_234_567_001));
    odd.id = "evt'1".into();
    odd.content_type = Some("application/json; x=1".into());
    let mut no_id = Incoming::new(b"\xff\x00".to_vec());
    no_id.position = "steps/3/7".into();
    no_id.published_at = odd.published_at;
    for incoming in [odd.clone(), no_id.clone()] {
        let delivery = source.deliver(incoming);
        delivery.assert_settled(Settled::Acked).await;
    }
    let letters = consumer_dead_letters(&db.pool, "steps", 0, 10)
        .await
        .unwrap();
    assert_eq!(letters.len(), 2);
    assert!(letters[0].incoming == odd && letters[1].incoming == no_id);
    let after = letters[0].number;
    let second = consumer_dead_letters(&db.pool, "steps", after, 10).await;
    assert_eq!(second.unwrap(), letters[1..]);
    let others = consumer_dead_letters(&db.pool, "others", 0, 10).await;
    assert_eq!(others.unwrap(), []);
    running.stop().await;
}

/// Guards: nobody takes a message while one before it of its key is in other hands or not due.
#[tokio::test]
async fn keys_are_in_order_over_several_instances_and_failures() {
    let db = start().await;
    let stage = Stage::default();
    let pools = [db.another_pool(5).await, db.another_pool(5).await];
    let [one, two] = pools.each_ref().map(inbox);
    for n in 0..60 {
        let act = if n % 7 == 0 {
            Act::FailUntil(2)
        } else {
            Act::Succeed
        };
        let message = step(&format!("k{}", n % 5), n, act);
        assert!(one.store(message).await.unwrap());
    }
    let running = [
        Running::start(&pools[0], of(&one, &stage)),
        Running::start(&pools[1], of(&two, &stage)),
    ];
    until_done(&db, 60).await;
    for running in running {
        running.stop().await;
    }
    for key in 0..5 {
        let begun = stage.begun();
        let mut of_key: Vec<_> = begun
            .iter()
            .map(|(n, _)| *n)
            .filter(|n| n % 5 == key)
            .collect();
        assert!(of_key.is_sorted(), "{of_key:?}");
        of_key.dedup();
        assert_eq!(of_key.len(), 12);
    }
    assert_eq!((letters(&db).await, attempts(&db).await), (0, vec![]));
}

/// Guards: what comes next of a key is handed out once the one before it was acknowledged, and is
/// put back if that goes back.
#[tokio::test]
async fn nothing_overtakes_a_message_of_its_key_that_goes_back() {
    let db = start().await;
    let (inbox, stage) = (inbox(&db.pool), Stage::default());
    for n in 1..=20 {
        // Those after the third one are in memory by then.
        let act = if n == 3 {
            Act::WaitAndFail
        } else {
            Act::Succeed
        };
        inbox.store(step("a", n, act)).await.unwrap();
    }
    let one_in_hand = of(&inbox, &stage).in_hand(1, usize::MAX);
    let running = Running::start(&db.pool, one_in_hand);
    stage.until_begun(3).await;
    stage.let_go(3);
    until_done(&db, 20).await;
    running.stop().await;
    let first = [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3)].into_iter();
    let all: Vec<_> = first.chain((4..=20).map(|n| (n, 1))).collect();
    assert_eq!(stage.begun(), all);
}

/// Guards: what was taken and not handed out is put back, as if it had not been taken.
#[tokio::test]
async fn what_a_consumer_had_in_memory_is_free_when_it_ends() {
    let db = start().await;
    let pool = db.another_pool(4).await;
    // What is looked for in between is what comes next.
    let (inbox, stage) = (Inbox::new(pool.clone(), "steps"), Stage::default());
    for n in 1..=20 {
        let act = if n == 5 { Act::Wait } else { Act::Succeed };
        inbox.store(step("a", n, act)).await.unwrap();
    }
    let mut running = Running::start(&pool, of(&inbox, &stage));
    stage.until_begun(5).await;
    let taken = "SELECT count(*) FROM idem_inbox WHERE owner IS NOT NULL";
    assert!(db.number(taken).await > 10);
    running.begin_shutdown();
    stage.let_go(5);
    running.ended().await.unwrap();
    assert_eq!(db.number(taken).await, 0);
    assert_eq!(
        db.number("SELECT count(*) FROM idem_inbox WHERE taken = 0")
            .await,
        15
    );
    let running = Running::start(&pool, of(&inbox, &stage));
    until_done(&db, 20).await;
    running.stop().await;
    assert_eq!(stage.begun().len(), 20);
}

/// Guards: the lease. A message whose consumer died is counted, too.
#[tokio::test]
async fn a_message_whose_consumer_died_is_handed_out_again() {
    let db = start().await;
    let (pool, stage) = (db.another_pool(4).await, Stage::default());
    let short = inbox(&pool).lease(Duration::from_millis(100));
    short.store(step("a", 1, Act::Wait)).await.unwrap();
    let running = Running::start(&pool, of(&short, &stage));
    stage.until_begun(1).await;
    running.crash().await;
    let other = inbox(&db.pool);
    let running = Running::start(&db.pool, of(&other, &stage));
    stage.until_begun(2).await;
    assert_eq!(attempts(&db).await, ["step-1 1"]);
    stage.let_go(1);
    until_done(&db, 1).await;
    running.stop().await;
    assert_eq!(attempts(&db).await, [""; 0]);
}

/// Guards: replay goes to the consumer, in order, and what arrives of the key follows.
#[tokio::test]
async fn replayed_dead_letters_come_back_to_their_consumer() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    for n in 1..=3 {
        // The third attempt of all is the first one after the replay.
        let bad = source.deliver(step("a", n, Act::FailUntil(4)));
        for attempt in 0..2 {
            stage.until_begun((n as usize - 1) * 3 + attempt + 1).await;
            source.advance_to_next().await;
        }
        bad.assert_settled(Settled::Acked).await;
    }
    assert_eq!((letters(&db).await, attempts(&db).await), (3, vec![]));
    let letters_of = consumer_dead_letters(&db.pool, "steps", 0, 10).await;
    let numbers: Vec<_> = letters_of
        .unwrap()
        .iter()
        .map(|letter| letter.number)
        .collect();
    let replay = async |numbers: &[i64]| {
        let replayed = replay_consumer_dead_letters(&db.pool, "steps", numbers).await;
        replayed.unwrap()
    };
    assert_eq!(
        replay_consumer_dead_letters(&db.pool, "others", &numbers)
            .await
            .unwrap(),
        0
    );
    assert_eq!(replay(&numbers[..2]).await, 2);
    assert_eq!((replay(&numbers[..2]).await, letters(&db).await), (0, 1));
    // They begin with a first attempt, as they came.
    stage.until_begun(10).await;
    assert_eq!(stage.begun()[9], (1, 1));
    running.crash().await;
}

/// Guards: that one statement, which says for many messages that they are done, is read for each.
#[tokio::test]
async fn of_many_that_are_acknowledged_at_once_each_learns_its_own_end() {
    const MESSAGES: u32 = 40;

    let db = start().await;
    let inbox = inbox(&db.pool);
    for n in 0..MESSAGES {
        let message = step(&format!("k{n}"), n, Act::Succeed);
        inbox.store(message).await.unwrap();
    }
    let mut acks = Vec::new();
    for _ in 0..MESSAGES {
        let Some(Ok(Arrival::Delivery(delivery))) = within(inbox.receive()).await else {
            panic!("it has an end, or an error");
        };
        acks.push(async move { (delivery.incoming().id.clone(), delivery.ack().await) });
    }
    db.execute("UPDATE idem_inbox SET owner = NULL WHERE id IN ('step-3', 'step-17')")
        .await;
    for (id, acked) in within(join_all(acks)).await {
        let is_lost = acked.as_ref().is_err_and(SettleError::is_lost);
        let is_expected = id == "step-3" || id == "step-17";
        assert_eq!(is_lost, is_expected, "{id}: {acked:?}");
        assert_eq!(acked.is_ok(), !is_expected, "{id}: {acked:?}");
    }
    let done = "SELECT count(*) FROM idem_inbox WHERE done_at IS NOT NULL";
    assert_eq!(db.number(done).await, i64::from(MESSAGES) - 2);
}

/// Guards: a clone's own end. A service that starts its consumer again gives it another clone.
#[tokio::test]
async fn a_consumer_that_is_started_again_takes_what_came_meanwhile() {
    let db = start().await;
    let (inbox, stage) = (inbox(&db.pool), Stage::default());
    let running = Running::start(&db.pool, of(&inbox, &stage));
    inbox.store(step("a", 1, Act::Succeed)).await.unwrap();
    until_done(&db, 1).await;
    running.stop().await;
    inbox.store(step("a", 2, Act::Succeed)).await.unwrap();
    let running = Running::start(&db.pool, of(&inbox, &stage));
    until_done(&db, 2).await;
    running.stop().await;
    assert_eq!(stage.begun(), [(1, 1), (2, 1)]);
}

/// Guards: what the consumer learns of a key when it takes a letter that was replayed.
#[tokio::test]
async fn what_arrives_after_a_replayed_dead_letter_of_its_key_follows_it() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let bad = source.deliver(step("a", 1, Act::GiveUp));
    bad.assert_settled(Settled::Acked).await;
    // The cause is mended.
    let waits = String::from_utf8(step("a", 1, Act::Wait).body).unwrap();
    match db
        .number("SELECT count(*) FROM idem_dead_letters WHERE length(payload) > 0")
        .await
    {
        1 => db.execute(&payload_is(&waits)).await,
        letters => panic!("{letters} letters"),
    }
    let letters = consumer_dead_letters(&db.pool, "steps", 0, 10)
        .await
        .unwrap();
    let replayed = replay_consumer_dead_letters(&db.pool, "steps", &[letters[0].number]).await;
    assert_eq!(replayed.unwrap(), 1);
    stage.until_begun(2).await;
    let later = source.deliver(step("a", 2, Act::Succeed));
    let other = source.deliver(step("b", 3, Act::Succeed));
    later.assert_settled(Settled::Acked).await;
    other.assert_settled(Settled::Acked).await;
    assert_eq!(stage.begun(), [(1, 1), (1, 1), (3, 1)]);
    stage.let_go(1);
    stage.until_begun(4).await;
    assert_eq!(stage.begun()[3], (2, 1));
    running.stop().await;
}

fn payload_is(json: &str) -> String {
    let hexed = hex::encode(json);
    format!(
        "UPDATE idem_dead_letters SET payload = {}",
        super::super::blob(&hexed)
    )
}

/// Guards: what can't be kept as a dead letter is not lost either.
#[tokio::test]
async fn a_message_that_is_rejected_comes_no_more_and_stays_in_its_row() {
    let db = start().await;
    let inbox = inbox(&db.pool);
    let message = step("a", 1, Act::Succeed);
    assert!(inbox.store(message.clone()).await.unwrap());
    let Some(Ok(Arrival::Delivery(delivery))) = within(inbox.receive()).await else {
        panic!("no delivery");
    };
    delivery.reject("it can't be kept").await.unwrap();
    assert!(!inbox.store(message).await.unwrap());
    let kept = "SELECT count(*) FROM idem_inbox WHERE done_at IS NOT NULL AND length(payload) > 0";
    assert_eq!(db.number(kept).await, 1);
}
