//! The equality of keys that look alike, on many of them.

use std::collections::HashSet;

use idem_runtime::__private::key;

use super::{KEYS_LIKE_OURS, bytes, start};

/// What collations, paddings and C strings take for one, or for nothing.
const PIECES: [&str; 24] = [
    "a",
    "A",
    "b",
    "B",
    " ",
    "\t",
    "\0",
    "á",
    "a\u{301}",
    "Á",
    "ß",
    "ss",
    "i",
    "I",
    "ı",
    "İ",
    "1",
    "１",
    "_",
    "%",
    "\\",
    "'",
    "\u{200b}",
    "\u{10ffff}",
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

/// Every string of at most three pieces, and some longer ones.
fn texts() -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut longest = texts.clone();
    for _ in 0..3 {
        longest = longest
            .iter()
            .flat_map(|text| PIECES.map(|piece| format!("{text}{piece}")))
            .collect();
        texts.extend_from_slice(&longest);
    }
    let mut numbers = Numbers(1);
    for _ in 0..10_000 {
        let pieces = 4 + numbers.below(6);
        texts.push(
            (0..pieces)
                .map(|_| PIECES[numbers.below(PIECES.len())])
                .collect(),
        );
    }
    texts
}

/// The database's classes are unions of the classes of equal bytes, so as many of them are the same
/// ones.
#[tokio::test]
async fn keys_that_look_alike_fall_into_the_same_classes_as_here() {
    let db = start().await;
    db.execute(KEYS_LIKE_OURS).await;
    let mut classes = HashSet::new();
    let mut rows = Vec::new();
    for text in texts() {
        for stored in [key(text.as_str()).erase(), key(text.as_bytes()).erase()] {
            rows.push(format!("({})", bytes(&hex::encode(stored.as_bytes()))));
        }
        classes.insert(text);
    }
    for rows in rows.chunks(10_000) {
        let insert = format!("INSERT INTO many_keys VALUES {}", rows.join(","));
        db.execute(&insert).await;
    }
    let (all, distinct) = (
        db.number("SELECT count(*) FROM many_keys").await,
        db.number("SELECT count(DISTINCT bytes) FROM many_keys")
            .await,
    );
    // As text and as bytes they are never one.
    assert_eq!(
        [all, distinct].map(|count| usize::try_from(count).unwrap()),
        [rows.len(), 2 * classes.len()]
    );
}
