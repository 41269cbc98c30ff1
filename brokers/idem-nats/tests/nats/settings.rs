//! What is set up wrongly, and what must be there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use idem_nats::async_nats::jetstream::consumer::{AckPolicy, pull, push};
use idem_nats::async_nats::{ConnectOptions, ServerAddr};
use idem_nats::{Connector, DurableConsumer, NatsError, NatsPublisher, NatsSource};
use idem_runtime::{Delivery as _, EventId, Message, PublishBatch, Publisher as _};
use idem_tests::server::NatsRelease::{Newest, Oldest};
use idem_tests::server::{Nats, Options};

use crate::broker::Broker;
use crate::source::{delivered, next};

/// Guards: what a person must change ends the consumer at its start, and is named. Once it has
/// worked, the same may be a server that is away, and is tried again.
#[tokio::test]
async fn what_is_not_there_ends_the_consumer_at_its_start_and_never_later() {
    for release in [Oldest, Newest] {
        let broker = Broker::shared(release).await;
        let source = || NatsSource::new(broker.url(), "ledgers", "ledger").unwrap();
        let error = next(&source()).await.unwrap_err();
        assert!(
            error.is_permanent() && error.reason().contains("`ledgers`"),
            "{error}"
        );
        broker.stream("ledgers").await;
        let error = next(&source()).await.unwrap_err();
        assert!(
            error.is_permanent() && error.reason().contains("`ledger`"),
            "{error}"
        );

        let declared = DurableConsumer::new(["ledgers.>"]).unwrap();
        let source = source().declare(declared.clone());
        broker.send_plain("ledgers.a", 1).await;
        delivered(&source).await.ack().await.unwrap();
        let context = broker.context();
        context.delete_stream("ledgers").await.unwrap();
        for _ in 0..2 {
            if let Err(error) = next(&source).await {
                assert!(!error.is_permanent(), "{error}");
                break;
            }
        }
        // It is declared again.
        let stream = async {
            while context.get_stream("ledgers").await.is_err() {
                let error = tokio::time::timeout(Duration::from_millis(500), next(&source)).await;
                assert!(!matches!(error, Ok(Err(error)) if error.is_permanent()));
            }
        };
        tokio::time::timeout(Duration::from_secs(30), stream)
            .await
            .unwrap();
        broker.send_plain("ledgers.a", 1).await;
        delivered(&source).await.ack().await.unwrap();
    }
}

/// Guards: settings that are declared are those that hold.
#[tokio::test]
async fn a_consumer_or_a_stream_with_other_settings_is_refused_and_the_setting_is_named() {
    let broker = Broker::shared(Newest).await;
    broker.stream("others").await;
    let declared = || DurableConsumer::new(["others.>"]).unwrap();
    let source = |declared| {
        let source = NatsSource::new(broker.url(), "others", "other").unwrap();
        source.declare(declared)
    };
    broker.send_plain("others.a", 1).await;
    delivered(&source(declared())).await.ack().await.unwrap();
    let foreign = DurableConsumer::new(["others.a", "foreign.x"]).unwrap();
    for (declared, named) in [
        (declared().ack_wait(Duration::from_mins(5)), "`ack_wait`"),
        (declared().max_deliver(7), "`max_deliver`"),
        (declared().in_order(), "`max_ack_pending`"),
        (declared().filter("others.b").unwrap(), "`filter_subject`"),
        (foreign, "`foreign.x`"),
    ] {
        let error = next(&source(declared)).await.unwrap_err();
        assert!(
            error.is_permanent() && error.reason().contains(named),
            "{named}: {error}"
        );
    }
}

/// Guards: the ack policy. With `none` a message that was handed out is lost, and with `all` an ack
/// takes others along.
#[tokio::test]
async fn a_consumer_that_does_not_acknowledge_each_message_is_refused() {
    let broker = Broker::shared(Oldest).await;
    broker.stream("policies").await;
    let context = broker.context();
    for (name, policy) in [("none", AckPolicy::None), ("all", AckPolicy::All)] {
        let config = pull::Config {
            durable_name: Some(name.into()),
            ack_policy: policy,
            ..pull::Config::default()
        };
        context
            .create_consumer_on_stream(config, "policies")
            .await
            .unwrap();
    }
    let config = push::Config {
        durable_name: Some("push".into()),
        deliver_subject: "somewhere".into(),
        ..push::Config::default()
    };
    context
        .create_consumer_on_stream(config, "policies")
        .await
        .unwrap();
    for name in ["none", "all", "push"] {
        let source = NatsSource::new(broker.url(), "policies", name).unwrap();
        let error = next(&source).await.unwrap_err();
        assert!(
            error.is_permanent() && error.reason().contains(name),
            "{error}"
        );
    }
}

/// Guards: neither an error nor a setting shows what is in a URL, and a user who is refused ends the
/// consumer.
#[tokio::test]
async fn a_password_is_shown_nowhere_and_a_wrong_one_ends_the_consumer() {
    let refused = Connector::url("http://me:s3cret@host").unwrap_err();
    assert_eq!(refused, NatsError::Url);
    let options = Options::default().set("authorization", "{ user: me, password: right }");
    let server = Nats::start(Newest, options).await.unwrap();
    let down = "127.0.0.1:1".to_owned();
    for (host, is_permanent) in [(server.address().to_string(), true), (down, false)] {
        let url = format!("nats://me:s3cret@{host}");
        let source = NatsSource::new(&url, "ledgers", "ledger").unwrap();
        let error = next(&source).await.unwrap_err();
        assert_eq!(error.is_permanent(), is_permanent, "{error}");
        let publisher = NatsPublisher::new(&url).unwrap();
        let shown = format!("{source:?} {publisher:?} {error}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

/// Guards: `Connector::new` is asked until there is a client, and no more.
#[tokio::test]
async fn a_client_of_ones_own_is_asked_for_until_it_is_there() {
    let broker = Broker::shared(Newest).await;
    broker.stream("own").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, url) = (Arc::clone(&asked), broker.url().to_owned());
    let connector = Connector::new(move || {
        let asked = count.fetch_add(1, Ordering::SeqCst);
        let url = if asked < 2 { "127.0.0.1:1" } else { &url };
        let address: ServerAddr = url.parse().unwrap();
        ConnectOptions::new().name("mine").connect(address)
    });
    let declared = DurableConsumer::new(["own.>"]).unwrap();
    // A source that is only dropped may be sent one more message.
    let declared = declared.ack_wait(Duration::from_secs(1));
    let source = NatsSource::with(connector, "own", "own").unwrap();
    let source = source.declare(declared);
    for _ in 0..2 {
        assert!(!next(&source).await.unwrap_err().is_permanent());
    }
    broker.send_plain("own.a", 1).await;
    delivered(&source).await.ack().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    drop(source);

    // One that is connected already.
    let client = broker.context().client();
    let source = NatsSource::with(client, "own", "own").unwrap();
    broker.send_plain("own.a", 1).await;
    delivered(&source).await.ack().await.unwrap();
}

/// Guards: who is named in a URL, which the client leaves out. A password may have any letter.
#[tokio::test]
async fn a_url_names_a_user_or_a_token() {
    for (authorization, user) in [
        ("{ user: me, password: \"a/b@c\" }", "me:a%2Fb%40c"),
        ("{ token: s3cret }", "s3cret"),
    ] {
        let options = Options::default().set("authorization", authorization);
        let server = Nats::start(Oldest, options).await.unwrap();
        let url = format!("nats://127.0.0.1:1,nats://{user}@{}", server.address());
        let source = NatsSource::new(&url, "users", "user").unwrap();
        let error = next(&source).await.unwrap_err();
        // It is let in, and told about its stream.
        assert!(error.reason().contains("stream not found"), "{error}");
    }
}

/// Guards: what the front page says that a user needs. Nothing else is asked for.
#[tokio::test]
async fn what_a_user_may_do_is_enough() {
    const PERMISSIONS: &str = r#"{ users: [
        { user: admin, password: p }
        { user: publisher, password: p, permissions: {
            publish: [ "shop.>", "$JS.API.STREAM.NAMES" ], subscribe: "_INBOX.>" } }
        { user: consumer, password: p, permissions: {
            publish: [ "$JS.API.CONSUMER.INFO.shop.ledger", "$JS.API.CONSUMER.MSG.NEXT.shop.ledger",
                       "$JS.ACK.shop.ledger.>" ], subscribe: "_INBOX.>" } }
        { user: owner, password: p, permissions: {
            publish: [ "$JS.API.CONSUMER.INFO.shop.ledger", "$JS.API.CONSUMER.MSG.NEXT.shop.ledger",
                       "$JS.ACK.shop.ledger.>", "$JS.API.STREAM.INFO.shop", "$JS.API.STREAM.CREATE.shop",
                       "$JS.API.CONSUMER.CREATE.shop.ledger", "$JS.API.CONSUMER.CREATE.shop.ledger.>" ],
            subscribe: "_INBOX.>" } }
    ] }"#;
    for release in [Oldest, Newest] {
        let options = Options::default().set("authorization", PERMISSIONS);
        let server = Nats::start(release, options).await.unwrap();
        let url = |user: &str| format!("nats://{user}:p@{}", server.address());
        let declared = DurableConsumer::new(["shop.>"]).unwrap();
        let declared = declared.filter("shop.paid").unwrap();
        let owner = NatsSource::new(&url("owner"), "shop", "ledger").unwrap();
        let owner = owner.declare(declared.ack_wait(Duration::from_secs(1)));
        let publisher = NatsPublisher::new(&url("publisher")).unwrap();
        let consumer = NatsSource::new(&url("consumer"), "shop", "ledger").unwrap();
        for source in [owner, consumer] {
            // The owner makes the stream first.
            let sent = async {
                while !is_published(&publisher, "shop.paid").await {
                    tokio::task::yield_now().await;
                }
            };
            let sent = tokio::time::timeout(Duration::from_secs(30), sent);
            let (delivery, sent) = tokio::join!(delivered(&source), sent);
            sent.expect("it is published");
            delivery.extend().await.unwrap();
            delivery.ack().await.unwrap();
        }
        // The server does not say that it may not.
        let publisher = publisher.timeout(Duration::from_secs(1));
        assert!(!is_published(&publisher, "other").await);
    }
}

async fn is_published(publisher: &NatsPublisher, topic: &str) -> bool {
    let id = EventId::new(uuid::Uuid::now_v7());
    let message = Message::new(id, topic, "Happened", "{}");
    let (batch, mut verdicts) = PublishBatch::new(vec![message]);
    publisher.publish(batch).await;
    matches!(verdicts.next().await, Some((0, Ok(()))))
}
