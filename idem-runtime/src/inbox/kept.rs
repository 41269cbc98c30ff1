//! A message as the tables hold it, and back.

use std::borrow::Cow;
use std::time::SystemTime;

use crate::source::Incoming;
use crate::store::{KeptMessage, MessageId};

use super::message_id::{POSITION, SHA256, UNNAMED};

/// Everything that came, with what a text can't hold replaced.
pub(crate) fn kept(message: MessageId, incoming: &Incoming) -> KeptMessage {
    let text = |text: &str| text.replace('\0', "\u{fffd}");
    let content_type = incoming.content_type.as_deref();
    KeptMessage {
        message,
        topic: text(&incoming.topic),
        key: kept_key(incoming).map(Cow::into_owned),
        kind: text(&incoming.kind),
        payload: incoming.body.clone(),
        content_type: text(content_type.unwrap_or_default()),
        headers: incoming.headers.clone(),
        published_at: incoming.published_at.unwrap_or_else(SystemTime::now),
    }
}

/// The key as it is stored, and as it is compared with stored ones. An empty key orders nothing.
pub(crate) fn kept_key(incoming: &Incoming) -> Option<Cow<'_, str>> {
    let key = incoming.key.as_deref().filter(|key| !key.is_empty())?;
    Some(if key.contains('\0') {
        key.replace('\0', "\u{fffd}").into()
    } else {
        key.into()
    })
}

/// The message as it came. An ID that was made up for it is not the producer's.
pub(crate) fn incoming(kept: KeptMessage) -> Incoming {
    let mut incoming = Incoming::new(kept.payload);
    let id = kept.message.id;
    if let Some(position) = id.strip_prefix(POSITION) {
        incoming.position = position.into();
    } else if id.starts_with(UNNAMED) {
        // So that its attempts and its dead letter are its own.
        incoming.position = id;
    } else if !id.starts_with(SHA256) {
        incoming.id = id;
    }
    incoming.source = kept.message.source;
    incoming.topic = kept.topic;
    incoming.key = kept.key;
    incoming.kind = kept.kind;
    incoming.content_type = Some(kept.content_type).filter(|media_type| !media_type.is_empty());
    incoming.headers = kept.headers;
    incoming.published_at = Some(kept.published_at);
    incoming
}
