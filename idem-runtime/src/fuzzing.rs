//! Doors for the targets in `fuzz/` to what is private. `cargo fuzz` alone compiles them
//! (`--cfg fuzzing`): no program that uses this crate ever sees them.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::contract::fuzzing::{differences, lines, written};
use crate::store::{Record, State};
use crate::{EventId, Headers, Key, Message, OrderingKey};

/// A message of what a row of `idem_outbox` may hold, where others write too. Its time is in the
/// database's microseconds.
pub fn message(
    id: u128,
    [source, topic, kind, content_type]: [String; 4],
    key: Option<String>,
    headers: Headers,
    payload: Vec<u8>,
    created_at: i64,
) -> Message {
    let mut message = Message::new(
        EventId::new(uuid::Uuid::from_u128(id)),
        topic,
        kind,
        payload,
    );
    message.source = source;
    message.content_type = content_type;
    message.key = key;
    message.headers = headers;
    message.created_at = crate::store::time(created_at);
    message
}

/// What a duplicate gets where these bytes are stored as a result.
pub fn replayed<T: Serialize + DeserializeOwned>(body: Option<Vec<u8>>) -> Option<T> {
    let record = Record {
        state: State::Result,
        fingerprint: None,
        result_version: 1,
        body,
    };
    crate::call::codec::replay(None).decode(&record, 1)
}

/// The bytes that are stored of a result.
pub fn stored<T: Serialize + DeserializeOwned>(value: &T) -> Option<Vec<u8>> {
    let body = crate::call::codec::replay(None)
        .encode(value)
        .expect("it serializes");
    body.as_result().body().map(<[u8]>::to_vec)
}

/// What `idem_outbox.key` holds.
pub fn ordering_key<K: Key + ?Sized>(key: &K) -> String {
    OrderingKey::of(key).into_string()
}
