//! Into which parts the outbox is split, so that several relays can share it.

#![cfg_attr(
    not(any(feature = "postgres", feature = "mysql", feature = "sqlite")),
    allow(dead_code, reason = "no database is on")
)]

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// How many shards there are. It never changes: the number of a row's shard is stored with it.
pub(crate) const SHARDS: u8 = 64;

/// The shard of an event, from its ordering key, or from its ID where it has none. Computed here
/// and not by the database: no hash is common to all of them, and none is the same in each release.
pub(crate) fn shard_of(key: Option<&str>, id: Uuid) -> u8 {
    let digest = key.map_or_else(
        || Sha256::digest(id.as_bytes()),
        |key| Sha256::digest(key.as_bytes()),
    );
    digest[0] % SHARDS
}

/// A set of shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ShardSet(u64);

impl ShardSet {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u64::MAX);

    /// As the tables hold it: one bit for each shard.
    pub(crate) const fn from_bits(bits: i64) -> Self {
        Self(bits.cast_unsigned())
    }

    pub(crate) const fn bits(self) -> i64 {
        self.0.cast_signed()
    }

    pub(crate) const fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// A row that somebody put in by hand may name a shard that there is not. It belongs to none.
    pub(crate) const fn contains(self, shard: u8) -> bool {
        shard < SHARDS && self.0 & (1 << shard) != 0
    }

    pub(crate) const fn with(self, shard: u8) -> Self {
        Self(self.0 | 1 << (shard % SHARDS))
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// At most `count` of them.
    pub(crate) fn take(self, count: u32) -> Self {
        self.iter()
            .take(count as usize)
            .fold(Self::NONE, Self::with)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        (0..SHARDS).filter(move |shard| self.contains(*shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published: two releases that run side by side must agree.
    #[test]
    fn the_shard_of_a_key_has_not_changed() {
        let id = Uuid::from_u128(7);
        let shards = [Some("a"), Some(""), Some("order-1"), None].map(|key| shard_of(key, id));
        assert_eq!(shards, SHARDS_OF_KEYS);
    }

    const SHARDS_OF_KEYS: [u8; 4] = [10, 35, 11, 43];

    #[test]
    fn a_set_holds_every_shard_and_survives_its_column() {
        for shard in 0..SHARDS {
            let set = ShardSet::NONE.with(shard);
            assert!(set.contains(shard) && set.len() == 1);
            assert_eq!(ShardSet::from_bits(set.bits()), set);
        }
        assert_eq!(ShardSet::ALL.len(), u32::from(SHARDS));
        assert!(!ShardSet::ALL.contains(SHARDS) && !ShardSet::ALL.contains(255));
        assert_eq!(ShardSet::ALL.take(3).iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert!(ShardSet::ALL.without(ShardSet::ALL).is_empty());
    }
}
