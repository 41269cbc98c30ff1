//! The ID of an event, computed from what the guide says of it.

use sha2::{Digest as _, Sha256};

/// The ID, in hexadecimal, of an event that a handler with a text key emitted: the `ordinal`th of
/// its type, from 0. `namespace` is that of the database, in hexadecimal.
///
/// # Panics
///
/// When the namespace is not in hexadecimal.
pub fn event_id(namespace: &str, scope: &str, key: &str, kind: &str, ordinal: u32) -> String {
    let part = |text: &[u8]| [&(text.len() as u64).to_be_bytes(), text].concat();
    let namespace = hex::decode(namespace).expect("a namespace in hexadecimal");
    let key = [b"\x02", key.as_bytes()].concat();
    let seed = [namespace, part(scope.as_bytes()), part(&key)].concat();
    let seed = Sha256::digest(seed).to_vec();
    let id = [seed, part(kind.as_bytes()), ordinal.to_be_bytes().to_vec()].concat();
    let mut id = Sha256::digest(id)[..16].to_vec();
    // A UUID of version 8.
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    hex::encode(id)
}
