//! What the suite does not ask of the publisher.

use std::time::Duration;

use idem_nats::NatsPublisher;
use idem_nats::async_nats::HeaderValue;
use idem_nats::async_nats::jetstream::stream::{Config, DiscardPolicy};
use idem_runtime::{EventId, Message, PublishBatch, PublishError, Publisher as _};
use idem_tests::proxy::When;
use idem_tests::server::NatsRelease::{Newest, Oldest};
use tokio::time::timeout;
use uuid::Uuid;

use crate::broker::{Broker, LARGEST};

type Verdict = Option<Result<(), PublishError>>;

fn message(topic: &str, key: Option<&str>) -> Message {
    let mut message = Message::new(EventId::new(Uuid::now_v7()), topic, "Happened", "{}");
    message.source = "/shop".into();
    message.key = key.map(str::to_owned);
    message
}

async fn publish(publisher: &NatsPublisher, messages: Vec<Message>) -> Vec<Verdict> {
    let mut all = vec![None; messages.len()];
    let (batch, mut verdicts) = PublishBatch::new(messages);
    timeout(Duration::from_mins(1), publisher.publish(batch))
        .await
        .expect("the call does not end");
    while let Some((index, verdict)) = verdicts.next().await {
        all[index] = Some(verdict);
    }
    all
}

fn failure(verdict: &Verdict) -> &PublishError {
    let verdict = verdict.as_ref().expect("a verdict");
    verdict.as_ref().expect_err("it is confirmed")
}

fn is_its_own(error: &PublishError) -> bool {
    !error.is_permanent() && !error.is_unavailable()
}

/// Guards: an answer is waited for, and "no responders" is not one. Core NATS takes anything.
#[tokio::test]
async fn an_event_whose_subject_has_no_stream_is_a_failure_of_its_own() {
    for release in [Oldest, Newest] {
        let broker = Broker::shared(release).await;
        broker.stream("taken").await;
        let publisher = NatsPublisher::new(broker.url()).unwrap();
        let messages = vec![message("nobody.here", None), message("taken", None)];
        let verdicts = publish(&publisher, messages).await;
        let error = failure(&verdicts[0]);
        assert!(is_its_own(error), "{error}");
        assert!(
            error
                .reason()
                .contains("no stream takes the subject `nobody.here`")
        );
        assert_eq!(verdicts[1], Some(Ok(())));
    }
}

/// Guards: an answer is that of a stream. Who has only subscribed to the subject keeps nothing.
#[tokio::test]
async fn the_answer_of_another_program_confirms_nothing() {
    use futures_util::StreamExt as _;

    let broker = Broker::shared(Newest).await;
    let client = broker.context().client();
    let mut asked = client.subscribe("answered").await.unwrap();
    client.flush().await.unwrap();
    tokio::spawn(async move {
        let question = asked.next().await.unwrap();
        client
            .publish(question.reply.unwrap(), "thanks".into())
            .await
            .unwrap();
    });
    let publisher = NatsPublisher::new(broker.url()).unwrap();
    let verdicts = publish(&publisher, vec![message("answered", None)]).await;
    let error = failure(&verdicts[0]);
    assert!(
        is_its_own(error) && error.reason().contains("another program"),
        "{error}"
    );
}

/// Guards: `Nats-Msg-Id`, and that a duplicate is a success.
#[tokio::test]
async fn an_event_that_is_published_twice_is_stored_once() {
    for release in [Oldest, Newest] {
        let broker = Broker::shared(release).await;
        broker.stream("twice").await;
        let event = message("twice", None);
        for _ in 0..2 {
            let publisher = NatsPublisher::new(broker.url()).unwrap();
            let verdicts = publish(&publisher, vec![event.clone()]).await;
            assert_eq!(verdicts, [Some(Ok(()))]);
        }
        assert_eq!(broker.messages("twice").await, 1);
    }
}

/// Guards: an event whose answer was lost is not confirmed, and is the same event afterwards.
#[tokio::test]
async fn an_event_whose_confirmation_was_lost_is_tried_again_and_stored_once() {
    let broker = Broker::start(Newest).await;
    broker.stream("lost").await;
    let publisher = NatsPublisher::new(broker.url()).unwrap();
    let event = message("lost", None);
    let lost = broker.proxy.lose_reply(When::Contains("Nats-Msg-Id"));
    let verdicts = publish(&publisher, vec![event.clone()]).await;
    assert!(lost.happened());
    assert!(failure(&verdicts[0]).is_unavailable(), "{verdicts:?}");
    until_confirmed(&publisher, &event).await;
    assert_eq!(broker.messages("lost").await, 1);
}

async fn until_confirmed(publisher: &NatsPublisher, event: &Message) {
    let again = async {
        while publish(publisher, vec![event.clone()]).await != [Some(Ok(()))] {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), again).await.unwrap();
}

/// Guards: one key one after the other: nothing overtakes what was refused.
#[tokio::test]
async fn what_a_full_stream_refuses_is_a_failure_and_is_not_overtaken() {
    for release in [Oldest, Newest] {
        let broker = Broker::shared(release).await;
        let config = Config {
            name: "full".into(),
            max_messages: 1,
            discard: DiscardPolicy::New,
            ..Config::default()
        };
        broker.context().create_stream(config).await.unwrap();
        let publisher = NatsPublisher::new(broker.url()).unwrap();
        let messages = (0..3).map(|_| message("full", Some("k"))).collect();
        let verdicts = publish(&publisher, messages).await;
        assert_eq!(verdicts[0], Some(Ok(())));
        let error = failure(&verdicts[1]);
        assert!(
            is_its_own(error) && error.reason().contains("maximum messages"),
            "{error}"
        );
        assert_eq!(verdicts[2], None);
    }
}

/// Guards: `Nats-Expected-Stream`.
#[tokio::test]
async fn an_event_that_another_stream_would_take_is_refused() {
    let broker = Broker::shared(Oldest).await;
    broker.stream("theirs").await;
    let publisher = NatsPublisher::new(broker.url()).unwrap();
    let publisher = publisher.stream("OURS").unwrap();
    let verdicts = publish(&publisher, vec![message("theirs", None)]).await;
    let error = failure(&verdicts[0]);
    assert!(
        is_its_own(error) && error.reason().contains("another stream"),
        "{error}"
    );
    assert_eq!(broker.messages("theirs").await, 0);
}

/// Guards: what no server and no stream will ever take is given up by itself, with both sizes.
#[tokio::test]
async fn an_event_that_is_too_large_is_given_up_and_no_other_with_it() {
    for release in [Oldest, Newest] {
        let broker = Broker::shared(release).await;
        let config = Config {
            name: "small".into(),
            subjects: vec!["small.>".into()],
            max_message_size: 10_000,
            ..Config::default()
        };
        broker.context().create_stream(config).await.unwrap();
        let publisher = NatsPublisher::new(broker.url()).unwrap();
        let of = |bytes: usize| {
            let mut large = message("small.x", None);
            large.payload = vec![b'1'; bytes];
            large
        };
        // A stream takes 64 KiB of headers.
        let mut wide = of(100);
        wide.headers.insert("wide".into(), "x".repeat(70_000));
        let messages = vec![of(LARGEST), of(10_000), of(100), wide];
        let verdicts = publish(&publisher, messages).await;
        let error = failure(&verdicts[0]);
        assert!(error.is_permanent(), "{error}");
        assert!(
            error.reason().contains(&format!("takes {LARGEST}")),
            "{error}"
        );
        let error = failure(&verdicts[1]);
        assert!(
            error.is_permanent() && error.reason().contains("max_msg_size"),
            "{error}"
        );
        assert_eq!(verdicts[2], Some(Ok(())));
        assert!(failure(&verdicts[3]).is_permanent(), "{verdicts:?}");
    }
}

/// Guards: the size is counted as the server counts it: one byte more, and it would end the
/// connection.
#[tokio::test]
async fn an_event_of_exactly_the_largest_size_is_taken() {
    let broker = Broker::shared(Newest).await;
    broker.stream("exact").await;
    let publisher = NatsPublisher::new(broker.url()).unwrap();
    let mut large = message("exact", None);
    large.payload = vec![b'1'; LARGEST];
    let verdicts = publish(&publisher, vec![large.clone()]).await;
    let error = failure(&verdicts[0]);
    let mut words = error.reason().split(' ');
    let size: usize = words.find_map(|word| word.parse().ok()).unwrap();
    large.payload.truncate(LARGEST - (size - LARGEST));
    let mut more = large.clone();
    more.payload.push(b'1');
    let verdicts = publish(&publisher, vec![more, large]).await;
    assert!(failure(&verdicts[0]).is_permanent());
    assert_eq!(verdicts[1], Some(Ok(())));
}

/// Guards: a topic that would be another subject, or break the protocol's line.
#[tokio::test]
async fn a_topic_that_can_be_no_subject_is_given_up_and_named() {
    let broker = Broker::shared(Oldest).await;
    broker.stream("subjects").await;
    let publisher = NatsPublisher::new(broker.url()).unwrap();
    let long = format!("subjects.{}", "x".repeat(5_000));
    for topic in [
        "subjects.a b",
        "subjects.*",
        "subjects.>",
        "subjects..a",
        "",
        "subjects.a\r\nPUB x 0",
        "$JS.API.STREAM.PURGE.subjects",
        &long,
    ] {
        let verdicts = publish(&publisher, vec![message(topic, None)]).await;
        let error = failure(&verdicts[0]);
        assert!(error.is_permanent(), "{topic:?}: {error}");
        let named = format!("`{}`", topic.escape_debug());
        assert!(error.reason().contains(&named), "{topic:?}: {error}");
    }
    assert_eq!(broker.messages("subjects").await, 0);
}

/// Guards: the names of headers and of the subject, which other programs read.
#[tokio::test]
async fn an_event_is_a_cloud_event_under_its_prefix() {
    let broker = Broker::shared(Oldest).await;
    broker.stream("shop").await;
    let publisher = NatsPublisher::new(broker.url()).unwrap();
    let publisher = publisher.subject_prefix("shop.eu").unwrap();
    let mut event = message("orders", Some("a b"));
    event
        .headers
        .insert("traceparent".into(), "00-1-2-01".into());
    let verdicts = publish(&publisher, vec![event.clone()]).await;
    assert_eq!(verdicts, [Some(Ok(()))]);
    let stream = broker.context().get_stream("shop").await.unwrap();
    let stored = stream
        .get_last_raw_message_by_subject("shop.eu.orders")
        .await;
    let stored = stored.unwrap();
    let id = event.id.to_string();
    for (name, value) in [
        ("Nats-Msg-Id", &*id),
        ("ce-id", &id),
        ("ce-specversion", "1.0"),
        ("ce-source", "/shop"),
        ("ce-type", "Happened"),
        ("ce-topic", "orders"),
        ("ce-partitionkey", "a%20b"),
        ("ce-datacontenttype", "application/json"),
        ("ce-traceparent", "00-1-2-01"),
        ("traceparent", "00-1-2-01"),
    ] {
        let header = stored.headers.get(name).map(HeaderValue::as_str);
        assert_eq!(header, Some(value), "{name}");
    }
    assert_eq!(&stored.payload[..], b"{}");
}

/// Guards: the time limits of a confirmation and of a connection. A server that hangs says nothing.
#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable() {
    let broker = Broker::start(Newest).await;
    broker.stream("silent").await;
    let publisher = || {
        NatsPublisher::new(broker.url())
            .unwrap()
            .timeout(Duration::from_secs(1))
    };
    let (old, new) = (publisher(), publisher());
    let verdicts = publish(&old, vec![message("silent", None)]).await;
    assert_eq!(verdicts, [Some(Ok(()))]);
    broker.server.lock().await.suspend().unwrap();
    for publisher in [&old, &new] {
        let verdicts = publish(publisher, vec![message("silent", None)]).await;
        let error = failure(&verdicts[0]);
        assert!(error.is_unavailable(), "{error}");
    }
    broker.server.lock().await.resume().unwrap();
    for publisher in [&old, &new] {
        until_confirmed(publisher, &message("silent", None)).await;
    }
}

/// Guards: no event waits for its confirmation on a connection that is gone, and the next one finds
/// the new connection.
#[tokio::test]
async fn a_server_that_was_killed_is_published_to_again_and_has_what_it_confirmed() {
    for release in [Oldest, Newest] {
        let broker = Broker::start(release).await;
        broker.stream("killed").await;
        let publisher = NatsPublisher::new(broker.url()).unwrap();
        let before = publish(&publisher, vec![message("killed", None)]).await;
        assert_eq!(before, [Some(Ok(()))]);
        broker.server.lock().await.crash().unwrap();
        let down = timeout(
            Duration::from_secs(5),
            publish(&publisher, vec![message("killed", None)]),
        );
        let down = down.await.expect("it does not wait for its time limit");
        assert!(failure(&down[0]).is_unavailable());
        broker.server.lock().await.restart().await.unwrap();
        until_confirmed(&publisher, &message("killed", None)).await;
        assert!(broker.messages("killed").await >= 2);
    }
}
