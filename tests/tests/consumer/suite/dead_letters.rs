//! What can't be handled is kept.

use idem_runtime::Incoming;
use idem_testing::{Settled, TestSource};

use super::{Running, attempts, consumer, letters, start};
use crate::stage::{Act, Stage, redelivered, step};

/// Guards: the letter at once, with the reason and the bytes as they came.
#[tokio::test]
async fn what_can_not_be_read_becomes_a_dead_letter_at_once() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let mut other_shape = Incoming::new(r#"{"secret":7}"#);
    other_shape.id = "a".into();
    other_shape.kind = "Step".into();
    let mut unknown = Incoming::new("\u{0}\u{1f600}");
    unknown.id = "b\0".into();
    unknown.kind = "Nobody\0knows".into();
    unknown.key = Some("k".repeat(5_000));
    let mut no_type = Incoming::new("c");
    no_type.position = "steps/0/7".into();
    let malformed =
        Incoming::from_attributes([("specversion", "1.0")], None, b"\xff\x00d".to_vec());
    for incoming in [other_shape, unknown, no_type, malformed] {
        let delivery = source.deliver(incoming);
        delivery.assert_settled(Settled::Acked).await;
    }
    let stats = running.stop().await;
    assert_eq!((stats.dead_lettered, stage.begun().len()), (4, 0));
    let reasons = db
        .texts("SELECT reason FROM idem_dead_letters ORDER BY number")
        .await;
    for (reason, part) in reasons.iter().zip([
        "JSON of another shape than",
        "no handler takes the type `Nobodyknows`",
        "says no type",
        "`id` is missing",
    ]) {
        assert!(reason.contains(part), "{reason}");
        assert!(!reason.contains("secret"), "{reason}");
    }
    let bytes = db
        .number("SELECT count(*) FROM idem_dead_letters WHERE length(payload) = 3")
        .await;
    assert_eq!(bytes, 1);
}

/// Guards: the disposition of the handler's error.
#[tokio::test]
async fn a_permanent_error_is_a_dead_letter_and_its_key_goes_on() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let bad = source.deliver(step("a", 1, Act::GiveUp));
    let next = source.deliver(step("a", 2, Act::Succeed));
    next.assert_settled(Settled::Acked).await;
    bad.assert_settled(Settled::Acked).await;
    assert_eq!(stage.begun(), [(1, 1), (2, 1)]);
    assert_eq!((letters(&db).await, attempts(&db).await), (1, vec![]));
    let reason = db.texts("SELECT reason FROM idem_dead_letters").await;
    assert_eq!(reason, ["the step failed"]);
    // The ack was lost, and the message comes again: one letter stays one.
    let again = source.deliver(redelivered("a", 1, Act::GiveUp));
    again.assert_settled(Settled::Acked).await;
    assert_eq!(letters(&db).await, 1);
    running.stop().await;
}

/// Guards: an unknown type is acknowledged only where that is asked for.
#[tokio::test]
async fn an_unknown_type_can_be_ignored() {
    let db = start().await;
    let (source, stage) = (TestSource::new(), Stage::default());
    let lenient = consumer(&source, &stage).ignore_unknown();
    let running = Running::start(&db.pool, lenient);
    let mut unknown = step("a", 1, Act::Succeed);
    unknown.kind = "Unheard".into();
    let delivery = source.deliver(unknown);
    delivery.assert_settled(Settled::Acked).await;
    assert_eq!((letters(&db).await, stage.begun().len()), (0, 0));
    running.stop().await;
}

/// Guards: the consumer's name is a part of what a letter and its attempts are of.
#[tokio::test]
async fn two_consumers_of_one_database_keep_their_own_letters() {
    let db = start().await;
    let stage = Stage::default();
    for name in ["one", "two"] {
        let source = TestSource::new();
        let named =
            idem_runtime::Consumer::new(name, source.clone()).on_with::<super::Play>(stage.clone());
        let running = Running::start(&db.pool, named);
        let bad = source.deliver(step("a", 1, Act::GiveUp));
        bad.assert_settled(Settled::Acked).await;
        running.stop().await;
    }
    assert_eq!(letters(&db).await, 2);
}

/// Guards: one delivery before the broker gives a message up by itself, the consumer does it, with
/// the reason.
#[tokio::test]
async fn a_message_is_kept_before_the_broker_loses_it() {
    let db = start().await;
    let (source, stage) = (TestSource::new().delivery_limit(5), Stage::default());
    let running = Running::start(&db.pool, consumer(&source, &stage));
    let mut late = redelivered("a", 1, Act::Fail);
    late.count = Some(4);
    let late = source.deliver(late);
    late.assert_settled(Settled::Acked).await;
    assert_eq!((letters(&db).await, stage.begun().len()), (1, 1));
    running.stop().await;
}
