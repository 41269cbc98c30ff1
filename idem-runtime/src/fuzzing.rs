//! Doors for the targets in `fuzz/` to what is private. `cargo fuzz` alone compiles them
//! (`--cfg fuzzing`): no program that uses this crate ever sees them.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::broker::fuzzing::{headers, line, message, verdict};
pub use crate::contract::fuzzing::{differences, lines, written};
use crate::store::{Record, State};
use crate::{Key, OrderingKey};

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
