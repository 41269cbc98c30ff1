//! The hash of a message that carries no ID.

use sha2::{Digest, Sha256};

use super::{Key, KeyWriter};

/// The SHA-256 of a message's bytes as received, for messages that carry no ID.
///
/// Two messages with equal bytes are one: a customer who pays the same amount twice by a message
/// without an ID pays once. Hash what arrived, never a re-serialised struct: a field added in one
/// deploy would change the hash, an unknown field would hide a difference.
///
/// ```
/// use idem_runtime::ContentHash;
///
/// assert_eq!(ContentHash::of(b"{}"), ContentHash::of(b"{}"));
/// assert_ne!(ContentHash::of(b"{}"), ContentHash::of(b"{ }"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// The hash of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes.as_ref()).into())
    }

    /// The 32 bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Key for ContentHash {
    fn name() -> String {
        "ContentHash".into()
    }

    fn write(&self, out: &mut KeyWriter) {
        out.bytes(&self.0);
    }
}
