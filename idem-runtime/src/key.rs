//! What identifies a delivery, and the bytes it is stored as.
//!
//! The encoding is published, in `docs/key_encoding.md`: changing it would make every delivery that
//! was handled look new.

mod content_hash;
mod encoding;
mod stored;
mod types;

pub use self::content_hash::ContentHash;
pub use self::encoding::{Key, KeyWriter};
pub(crate) use self::stored::StoredKey;

#[cfg(test)]
mod tests;
