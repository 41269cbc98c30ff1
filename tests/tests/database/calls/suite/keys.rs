//! Which keys are one.

use idem_runtime::{ContentHash, Disposition, Error, Key, Outcome};
use uuid::Uuid;

use super::handlers::{begin, by_key, hashed};
use super::{Db, claims, start};
use crate::model::{Order, end};

/// Delivers under `key` and expects the delivery `first` to have been the one that ran.
async fn expect<K: Key + Sync + ?Sized>(db: &Db, key: &K, id: &str, first: &str) {
    let expected = if id == first {
        Outcome::Executed(first.to_owned())
    } else {
        Outcome::Replayed(first.to_owned())
    };
    assert_eq!(end(by_key(&db.pool, key, id).await), Ok(expected));
}

#[tokio::test]
async fn text_integers_and_uuids_are_one_as_their_text_and_nothing_else_is() {
    let db = start().await;
    expect(&db, "42", "text", "text").await;
    expect(&db, &42_i32, "i32", "text").await;
    expect(&db, &42_u64, "u64", "text").await;
    expect(&db, &String::from("42"), "string", "text").await;
    expect(&db, b"42".as_slice(), "bytes", "bytes").await;
    expect(&db, b"42", "array", "bytes").await;
    expect(&db, &ContentHash::of("42"), "hash", "hash").await;
    expect(&db, &("42",), "tuple", "tuple").await;
    expect(&db, &(42_u8,), "tuple of u8", "tuple").await;
    expect(&db, &("4", "2"), "pair", "pair").await;
    expect(&db, &(("4", "2"),), "nested", "nested").await;
    expect(&db, "042", "padded", "padded").await;
    expect(&db, &-42_i64, "negative", "negative").await;

    let uuid = Uuid::from_u128(0x0190_3c5e_5b1a_7c3d_8e4f_0123_4567_89ab);
    expect(&db, &uuid, "uuid", "uuid").await;
    expect(&db, uuid.to_string().as_str(), "text of the uuid", "uuid").await;
    let upper = uuid.to_string().to_uppercase();
    expect(&db, upper.as_str(), "upper", "upper").await;
    let raw = uuid.as_bytes().as_slice();
    expect(&db, raw, "bytes of the uuid", "bytes of the uuid").await;
}

#[tokio::test]
async fn keys_that_a_collation_would_take_for_one_are_two() {
    let db = start().await;
    let keys = [
        "a", "A", "a ", " a", "a\0", "\0", " ", "á", "a\u{301}", "Á", "ä", "ae", "æ", "ß", "ss",
        "i", "I", "ı", "İ", "\u{fb00}", "ff", "１", "1", "%", "_", "'", "\\", "\\'", "\u{200b}",
    ];
    for pass in ["", " again"] {
        for (number, key) in keys.into_iter().enumerate() {
            let first = number.to_string();
            expect(&db, key, &format!("{first}{pass}"), &first).await;
        }
    }
    assert_eq!(db.effects().await.len(), keys.len());
}

#[tokio::test]
async fn long_keys_differ_at_every_byte_and_are_stored_short() {
    let db = start().await;
    let long = "k".repeat(10_000);
    let keys = [
        format!("{long}a"),
        format!("{long}b"),
        format!("a{long}"),
        "k".repeat(62),
        "k".repeat(63),
        "k".repeat(64),
        "k".repeat(65),
        "k".repeat(1_024),
    ];
    for pass in ["", " again"] {
        for (number, key) in keys.iter().enumerate() {
            let first = number.to_string();
            expect(&db, key, &format!("{first}{pass}"), &first).await;
        }
    }
    let mut lengths: Vec<_> = claims(&db).await.iter().map(|c| c.key.len() / 2).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [33, 33, 33, 33, 33, 33, 63, 64]);
}

#[derive(Key)]
struct OrderId(String);

async fn expect_refused<K: Key + Sync + ?Sized>(db: &Db, key: &K) {
    let refused = by_key(&db.pool, key, "id").await;
    assert!(matches!(refused, Err(Error::EmptyKey)), "{refused:?}");
}

/// Every message without an ID would have it: all but the first would be lost as its duplicates.
#[tokio::test]
async fn an_empty_key_or_part_of_one_is_refused_and_claims_nothing() {
    let db = start().await;
    expect_refused(&db, "").await;
    expect_refused(&db, &String::new()).await;
    expect_refused(&db, b"".as_slice()).await;
    expect_refused(&db, &OrderId(String::new())).await;
    expect_refused(&db, &("", "")).await;
    expect_refused(&db, &("tenant", "")).await;
    expect_refused(&db, &("tenant", ("", 7))).await;
    // What is longer is stored as its hash.
    expect_refused(&db, &("x".repeat(100), "")).await;
    let refused = hashed(&db.pool, &Order::new("")).await.unwrap_err();
    assert!(matches!(refused, Error::EmptyKey), "{refused:?}");
    assert_eq!(refused.disposition(), Disposition::DeadLetter);

    // The caller's transaction is as it was.
    let mut tx = begin(&db.pool).await;
    let refused = by_key(&mut tx, "", "id").await;
    assert!(matches!(refused, Err(Error::EmptyKey)), "{refused:?}");
    let _ = by_key(&mut tx, "id", "id").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(db.effects().await, ["id"]);
    assert_eq!(claims(&db).await.len(), 1);
}

#[tokio::test]
async fn a_blank_a_zero_and_a_nil_uuid_are_keys_like_any_other() {
    let db = start().await;
    expect(&db, " ", "blank", "blank").await;
    expect(&db, &0, "zero", "zero").await;
    expect(&db, &Uuid::nil(), "nil", "nil").await;
    expect(&db, &[0], "byte", "byte").await;
}
