//! Keys on their way from an attribute's expression to their stored form.

use std::marker::PhantomData;

use crate::event::OrderingKey;
use crate::identity::Identity;
use crate::key::{Key, StoredKey};

/// A key in its stored form, and the type it came from.
#[derive(Debug)]
pub struct Encoded<K: ?Sized> {
    key: StoredKey,
    empty: bool,
    of: PhantomData<fn(&K)>,
}

impl<K: ?Sized> Encoded<K> {
    /// The stored form alone.
    pub fn erase(self) -> StoredKey {
        self.key
    }

    /// What the handler takes the delivery for.
    pub(super) fn identity(self, fingerprint: Option<StoredKey>, hash: bool) -> Identity {
        Identity::new(self.key, self.empty, fingerprint, hash)
    }
}

/// Encodes a key or a fingerprint.
pub fn key<K: Key + ?Sized>(key: &K) -> Encoded<K> {
    let (key, empty) = StoredKey::encode(key);
    Encoded {
        key,
        empty,
        of: PhantomData,
    }
}

/// What a handler takes a delivery for.
pub fn identity<K: ?Sized>(
    key: Encoded<K>,
    fingerprint: Option<StoredKey>,
    hash: bool,
) -> Identity {
    key.identity(fingerprint, hash)
}

/// The type of a key expression, found by inference: `probe` is never called.
pub fn key_type<A, K: Key + ?Sized, F: Fn(A) -> Encoded<K>>(_probe: F) -> String {
    K::name()
}

/// Makes an ordering key.
pub fn ordering_key<K: Key + ?Sized>(key: &K) -> OrderingKey {
    OrderingKey::of(key)
}
