//! The equality of keys, on a million of them.

use std::collections::HashSet;
use std::fmt::Write as _;

use idem_runtime::__private::key;
use sqlx::{AssertSqlSafe, raw_sql};

use super::{Bed, KEYS_LIKE_OURS, bytes};

/// What collations, paddings and C strings take for one, or for nothing.
const PIECES: [&str; 24] = [
    "a", "A", "b", "B", " ", "\t", "\0", "á", "a\u{301}", "Á", "ß", "ss", "i", "I", "ı", "İ", "1", "１", "_", "%",
    "\\", "'", "\u{200b}", "\u{10ffff}",
];

/// A fixed sequence (`SplitMix64`), so that a failure can be looked at twice.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).expect("it is below a usize")
    }
}

/// The database's classes are unions of the classes of equal bytes, so as many of them are the same ones.
#[tokio::test]
async fn a_million_keys_fall_into_the_same_classes_as_here() {
    let bed = Bed::start().await;
    bed.execute(KEYS_LIKE_OURS).await;
    let mut numbers = Numbers(1);
    let mut classes = HashSet::new();
    for _ in 0..100 {
        let mut insert = String::from("INSERT INTO many_keys VALUES ");
        for row in 0..10_000 {
            let pieces = numbers.below(9);
            let text: String = (0..pieces)
                .map(|_| PIECES[numbers.below(PIECES.len())])
                .collect();
            let is_text = numbers.below(2) == 0;
            let stored = if is_text {
                key(text.as_str()).erase()
            } else {
                key(text.as_bytes()).erase()
            };
            let comma = if row == 0 { "" } else { "," };
            let _ = write!(insert, "{comma}({})", bytes(&hex::encode(stored.as_bytes())));
            classes.insert((is_text, text));
        }
        raw_sql(AssertSqlSafe(insert)).execute(&bed.pool).await.unwrap();
    }
    let (all, distinct) = (
        bed.number("SELECT count(*) FROM many_keys").await,
        bed.number("SELECT count(DISTINCT bytes) FROM many_keys").await,
    );
    assert_eq!(
        (all, distinct),
        (1_000_000, i64::try_from(classes.len()).unwrap())
    );
}
