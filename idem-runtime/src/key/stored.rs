//! A key as it is stored: its encoding, or the hash of one that is too long.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Key;
use super::encoding::{HASHED, KeyWriter, TEXT, UUID};

/// The longest encoding that is stored as it is; a longer one is stored as its SHA-256.
pub(super) const VERBATIM: usize = 64;

/// The bytes under which a key is stored: at most 64, unique to the key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StoredKey(Box<[u8]>);

impl StoredKey {
    pub(crate) fn of<K: Key + ?Sized>(key: &K) -> Self {
        Self::encode(key).0
    }

    /// The same, and whether the key, or a part of it, is empty.
    pub(crate) fn encode<K: Key + ?Sized>(key: &K) -> (Self, bool) {
        let mut writer = KeyWriter::default();
        key.write(&mut writer);
        let empty = writer.is_empty();
        let encoded = Self(writer.encoded.into());
        let stored = if encoded.0.len() > VERBATIM {
            encoded.hashed()
        } else {
            encoded
        };
        (stored, empty)
    }

    /// The same key without its readable content.
    pub(crate) fn hashed(self) -> Self {
        if self.0.first() == Some(&HASHED) {
            return self;
        }
        let mut hashed = Vec::with_capacity(33);
        hashed.push(HASHED);
        hashed.extend_from_slice(&Sha256::digest(&self.0));
        Self(hashed.into())
    }

    /// The stored bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key as text: what was text, an integer or a UUID as it was, everything else in
    /// hexadecimal. Text with a NUL is hexadecimal too, since PostgreSQL takes none.
    pub(crate) fn to_text(&self) -> String {
        match self.0.split_first() {
            Some((&UUID, body)) => {
                Uuid::from_slice(body).map_or_else(|_| hex::encode(body), |uuid| uuid.to_string())
            }
            Some((&TEXT, body)) if !body.contains(&0) => String::from_utf8_lossy(body).into_owned(),
            Some((_, body)) => hex::encode(body),
            None => String::new(),
        }
    }
}

/// Never shows the key: it may be personal data.
impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredKey({} bytes)", self.0.len())
    }
}
