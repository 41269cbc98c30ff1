//! Keys on their way from an attribute's expression to their stored form.

use std::marker::PhantomData;

use crate::event::OrderingKey;
use crate::identity::Identity;
use crate::key::{Key, StoredKey};

/// A key in its stored form, and the type it came from.
#[derive(Debug)]
pub struct Encoded<K: ?Sized> {
    key: StoredKey,
    of: PhantomData<fn(&K)>,
}

impl<K: ?Sized> Encoded<K> {
    /// Forgets the type.
    pub fn erase(self) -> StoredKey {
        self.key
    }
}

/// Encodes a key or a fingerprint.
pub fn key<K: Key + ?Sized>(key: &K) -> Encoded<K> {
    Encoded {
        key: StoredKey::of(key),
        of: PhantomData,
    }
}

/// What a handler takes a delivery for.
pub fn identity<K: ?Sized>(
    key: Encoded<K>,
    fingerprint: Option<StoredKey>,
    hash: bool,
) -> Identity {
    Identity::new(key.key, fingerprint, hash)
}

/// The type of a key expression, found by inference: `probe` is never called.
pub fn key_type<A, K: Key + ?Sized, F: Fn(A) -> Encoded<K>>(_probe: F) -> String {
    K::name()
}

/// Makes an ordering key.
pub fn ordering_key<K: Key + ?Sized>(key: &K) -> OrderingKey {
    OrderingKey::of(key)
}
