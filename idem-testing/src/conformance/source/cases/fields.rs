//! Each field of a message arrives as it was sent.

use std::time::{SystemTime, UNIX_EPOCH};

use idem_runtime::{Delivery, Incoming, Source};

use crate::conformance::failure::{Result, violated};
use crate::conformance::source::bed::{Bed, Sent};
use crate::conformance::source::database::SourceDatabase;
use crate::conformance::source::script::Act;
use crate::conformance::source::target::{SourceTarget, WireMessage};

const TEXT: &str = "日本 é \"1\" 100% \\ 😀";

pub(super) async fn arrive_as_sent<T: SourceTarget, DB: SourceDatabase>(
    bed: Bed<'_, T, DB>,
) -> Result {
    let source = bed.target().source(&bed.queue).await;
    let plain = |key| Sent::new(key, Act::Succeed);
    let with = |change: &dyn Fn(&mut WireMessage)| {
        let mut sent = plain(Some("k"));
        change(&mut sent.wire);
        sent
    };
    let attribute = |name: &str, value: &str| {
        let mut sent = plain(Some("k"));
        sent.wire = sent.wire.set(name, Some(value));
        sent
    };
    let variants = [
        ("with an ordering key", plain(Some("k"))),
        ("without an ordering key", plain(None)),
        ("with an ordering key beyond ASCII", plain(Some(TEXT))),
        (
            "with a header beyond ASCII",
            attribute("tenant", &format!("{TEXT}\r\n\t")),
        ),
        ("with a type beyond ASCII", attribute("type", TEXT)),
        (
            "with a traceparent",
            attribute(
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
        ),
        ("with an empty body", with(&|wire| wire.body.clear())),
        (
            "with a body that is not text",
            with(&|wire| {
                wire.body = (0..=255).cycle().take(1_000).collect();
                wire.content_type = Some("application/octet-stream".into());
            }),
        ),
        (
            "with a body of 1 MiB",
            with(&|wire| wire.body = format!("\"{}\"", "x".repeat(1024 * 1024 - 2)).into()),
        ),
    ];
    for (what, sent) in variants {
        bed.send([&sent]).await;
        let delivery = bed.receive(&source).await?;
        let differences = differences(&expected(&sent), delivery.incoming());
        if !differences.is_empty() {
            return violated(format!("a message {what}: {}", differences.join("; ")));
        }
        if let Err(error) = delivery.ack().await {
            return violated(format!("a message {what} can't be acknowledged: {error}"));
        }
    }
    source.stop();
    bed.drained().await
}

fn expected(sent: &Sent) -> Incoming {
    let WireMessage {
        attributes,
        content_type,
        body,
        ..
    } = sent.wire.clone();
    Incoming::from_attributes(attributes, content_type, body)
}

fn micros(time: Option<SystemTime>) -> Option<u128> {
    let since = time?.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_micros())
}

fn differences(sent: &Incoming, arrived: &Incoming) -> Vec<String> {
    let mut differences = Vec::new();
    macro_rules! compare {
        ($($field:ident)*) => {$(
            if sent.$field != arrived.$field {
                let shown = |value: String| value.chars().take(100).collect::<String>();
                differences.push(format!(
                    "the {} is {}, and was sent as {}",
                    stringify!($field),
                    shown(format!("{:?}", arrived.$field)),
                    shown(format!("{:?}", sent.$field)),
                ));
            }
        )*};
    }
    compare!(id source kind key headers content_type body);
    // As exact as the databases are.
    if micros(sent.published_at) != micros(arrived.published_at) {
        let (was, is) = (sent.published_at, arrived.published_at);
        differences.push(format!("the time is {is:?}, and was sent as {was:?}"));
    }
    if arrived.redelivered {
        differences.push("it says that it was handed out before".into());
    }
    if arrived.topic.is_empty() {
        differences.push("it does not say where it is from".into());
    }
    differences
}
