//! What makes two deliveries one message.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::key::StoredKey;

/// The key and the fingerprint of a delivery, as a handler stores them. See
/// [`Handler::identity`](crate::Handler::identity).
///
/// Two identities of one handler are equal if their keys are, whatever their fingerprints. A
/// consumer uses that to keep two deliveries of one message apart, in one batch for example.
/// Identities of different handlers have nothing to do with each other.
#[derive(Clone)]
pub struct Identity {
    pub(crate) key: StoredKey,
    empty: bool,
    pub(crate) fingerprint: Option<StoredKey>,
}

impl Identity {
    /// With `hash`, neither is readable in what is stored (`hash_key`).
    pub(crate) fn new(
        key: StoredKey,
        empty: bool,
        fingerprint: Option<StoredKey>,
        hash: bool,
    ) -> Self {
        let stored = |key: StoredKey| if hash { key.hashed() } else { key };
        Self {
            key: stored(key),
            empty,
            fingerprint: fingerprint.map(stored),
        }
    }

    /// Whether the key, or a part of it, is empty. A call with it ends as
    /// [`Error::EmptyKey`](crate::Error::EmptyKey).
    pub const fn is_empty(&self) -> bool {
        self.empty
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// Shows neither the key nor the fingerprint: they may be personal data.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn identity(key: &str, fingerprint: &str) -> Identity {
        Identity::new(
            StoredKey::of(key),
            false,
            Some(StoredKey::of(fingerprint)),
            false,
        )
    }

    #[test]
    fn identities_are_equal_if_their_keys_are() {
        let known = HashSet::from([identity("a", "1")]);
        assert!(known.contains(&identity("a", "2")));
        assert!(!known.contains(&identity("b", "1")));
    }

    #[test]
    fn an_identity_shows_neither_key_nor_fingerprint() {
        let shown = format!("{:?}", identity("secret", "secret"));
        assert_eq!(shown, "Identity { .. }");
    }

    #[test]
    fn a_hashed_identity_holds_neither_in_clear() {
        let hashed = Identity::new(
            StoredKey::of("secret"),
            false,
            Some(StoredKey::of("secret")),
            true,
        );
        assert_eq!(hashed.key, StoredKey::of("secret").hashed());
        assert_eq!(hashed.fingerprint, Some(StoredKey::of("secret").hashed()));
    }
}
