//! Each field of a message arrives as it was sent.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

use idem_runtime::Message;

use crate::conformance::failure::{Failure, Result, violated};
use crate::conformance::stage::Stage;
use crate::conformance::target::{Oddity, PublishTarget};

/// How much of a field is shown.
const SHOWN: usize = 100;

/// What is special about a message.
#[derive(Clone, Copy)]
pub(super) enum Variant {
    Key,
    NoKey,
    Odd(Oddity),
}

impl Variant {
    pub(super) const ALL: [Self; 9] = [
        Self::Key,
        Self::NoKey,
        Self::Odd(Oddity::UnicodeTopic),
        Self::Odd(Oddity::UnicodeKey),
        Self::Odd(Oddity::UnicodeHeader),
        Self::Odd(Oddity::EmptyKey),
        Self::Odd(Oddity::EmptyPayload),
        Self::Odd(Oddity::BinaryPayload),
        Self::Odd(Oddity::LargePayload),
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Key => "fields: with an ordering key",
            Self::NoKey => "fields: without an ordering key",
            Self::Odd(Oddity::UnicodeTopic) => "fields: a topic beyond ASCII",
            Self::Odd(Oddity::UnicodeKey) => "fields: an ordering key beyond ASCII",
            Self::Odd(Oddity::UnicodeHeader) => "fields: a header beyond ASCII",
            Self::Odd(Oddity::EmptyKey) => "fields: an empty ordering key",
            Self::Odd(Oddity::EmptyPayload) => "fields: an empty payload",
            Self::Odd(Oddity::BinaryPayload) => "fields: a binary payload",
            Self::Odd(Oddity::LargePayload) => "fields: a payload of 1 MiB",
        }
    }

    fn apply(self, message: &mut Message) {
        const TEXT: &str = "日本 é \"1\" 100% \\ 😀";
        let odd = match self {
            Self::Key => return,
            Self::NoKey => {
                message.key = None;
                return;
            }
            Self::Odd(odd) => odd,
        };
        match odd {
            Oddity::UnicodeTopic => message.topic = format!("{}.{TEXT}", message.topic),
            Oddity::UnicodeKey => message.key = Some(TEXT.into()),
            Oddity::UnicodeHeader => {
                let text = format!("{TEXT}\r\nsecond: line\t");
                message.headers.insert("odd".into(), text);
            }
            Oddity::EmptyKey => message.key = Some(String::new()),
            Oddity::EmptyPayload => message.payload.clear(),
            Oddity::BinaryPayload => {
                message.payload = (0..=255).cycle().take(1_000).collect();
                message.content_type = "application/octet-stream".into();
            }
            Oddity::LargePayload => {
                let text = "x".repeat(1024 * 1024 - 2);
                message.payload = format!("\"{text}\"").into();
            }
        }
    }
}

pub(super) async fn arrive_as_sent<T: PublishTarget>(target: &T, variant: Variant) -> Result {
    if let Variant::Odd(oddity) = variant
        && let Some(why) = target.cannot_carry(oddity)
    {
        return Err(Failure::LeftOut(why.to_owned()));
    }
    let mut stage = Stage::new(target).await;
    let mut sent = stage.message(Some("k"), 1);
    sent.headers.extend([
        ("subject".into(), "orders/1".into()),
        ("tenant".into(), "t-1".into()),
    ]);
    variant.apply(&mut sent);
    let sent = [sent];
    stage.publish_all(&sent).await?;
    stage.arrive(&sent).await?;
    let [sent] = sent;
    let Some(arrived) = stage.arrival(sent.id) else {
        return violated("it has not arrived");
    };
    let differences = differences(&sent, arrived);
    if differences.is_empty() {
        return Ok(());
    }
    violated(differences.join("; "))
}

fn differences(sent: &Message, arrived: &Message) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |field: &str, sent: &dyn Debug, arrived: &dyn Debug| {
        let (sent, arrived) = (shown(sent), shown(arrived));
        differences.push(format!("the {field} is {arrived}, and was sent as {sent}"));
    };
    macro_rules! compare {
        ($($field:ident)*) => {$(
            if sent.$field != arrived.$field {
                compare(stringify!($field), &sent.$field, &arrived.$field);
            }
        )*};
    }
    compare!(id source topic kind payload content_type headers);
    let is_empty = sent.key.as_ref().is_some_and(String::is_empty);
    if sent.key != arrived.key && !(is_empty && arrived.key.is_none()) {
        compare("key", &sent.key, &arrived.key);
    }
    // As exact as the databases are.
    let (was, is) = (micros(sent.created_at), micros(arrived.created_at));
    if was != is {
        compare("created_at", &sent.created_at, &arrived.created_at);
    }
    differences
}

fn micros(time: SystemTime) -> Option<u128> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_micros())
}

/// The beginning. What differs may be long.
fn shown(value: &dyn Debug) -> String {
    let text = format!("{value:?}");
    if text.chars().count() <= SHOWN {
        return text;
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start}... ({} bytes as text)", text.len())
}
