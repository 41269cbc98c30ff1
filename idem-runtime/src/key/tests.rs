use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::encoding::{TEXT, write_length};
use super::stored::VERBATIM;
use super::*;

fn hex_of<K: Key + ?Sized>(key: &K) -> String {
    hex::encode(StoredKey::of(key).as_bytes())
}

/// The published format. A change here means that messages already handled run again.
#[test]
fn the_encoding_has_not_changed() {
    let uuid = Uuid::from_u128(0x0190_3c5e_5b1a_7c3d_8e4f_0123_4567_89ab);
    let golden = [
        (hex_of(&uuid), "0101903c5e5b1a7c3d8e4f0123456789ab"),
        (
            hex_of("01903c5e-5b1a-7c3d-8e4f-0123456789ab"),
            "0101903c5e5b1a7c3d8e4f0123456789ab",
        ),
        (hex_of("evt_1"), "026576745f31"),
        (hex_of(""), "02"),
        (hex_of(&-42_i32), "022d3432"),
        (hex_of(&-42_i64), "022d3432"),
        (hex_of(b"evt_1".as_slice()), "036576745f31"),
        (hex_of(b"evt_1"), "036576745f31"),
        (hex_of(&("a", 7_u8)), "04020261020237"),
        (
            hex_of("x".repeat(64).as_str()),
            "05cfff4b723b11334231858f695a27c9578379e90d517612b9656d4ce1f8e45009",
        ),
    ];
    let published = include_str!("../../docs/key_encoding.md");
    for (found, golden) in golden {
        assert_eq!(found, golden);
        assert!(published.contains(&format!("`{golden}`")), "{golden}");
    }
}

#[test]
fn upper_case_or_braced_uuids_stay_text() {
    for text in [
        "01903C5E-5B1A-7C3D-8E4F-0123456789AB",
        "{01903c5e-5b1a-7c3d-8e4f-0123456789a}",
        "01903c5e5b1a7c3d8e4f0123456789ab",
    ] {
        assert_eq!(StoredKey::of(text).as_bytes()[0], TEXT);
    }
}

#[test]
fn different_keys_never_meet() {
    let keys = [
        hex_of(&("ab", "c")),
        hex_of(&("a", "bc")),
        hex_of(&(("a", "b"), "c")),
        hex_of(&("a", ("b", "c"))),
        hex_of(&("a", "b", "c")),
        hex_of(&("abc",)),
        hex_of("abc"),
        hex_of(b"abc"),
        hex_of(&ContentHash::of("abc")),
        hex_of("x".repeat(63).as_str()),
        hex_of("x".repeat(64).as_str()),
        hex_of("x".repeat(65).as_str()),
    ];
    let distinct: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
}

#[test]
fn a_stored_key_is_at_most_64_bytes() {
    for length in 0..200 {
        assert!(StoredKey::of("k".repeat(length).as_str()).as_bytes().len() <= VERBATIM);
    }
}

#[test]
fn an_encoding_of_64_bytes_is_the_longest_that_is_stored_as_it_is() {
    let longest = "x".repeat(VERBATIM - 1);
    let stored = StoredKey::of(longest.as_str());
    assert_eq!(stored.as_bytes(), [&[TEXT], longest.as_bytes()].concat());
}

#[test]
fn a_content_hash_is_the_sha_256_as_bytes() {
    let digest: [u8; 32] = Sha256::digest(b"abc").into();
    let hash = ContentHash::of("abc");
    assert_eq!(hash.as_bytes(), &digest);
    assert_eq!(StoredKey::of(&hash), StoredKey::of(&digest));
    assert_eq!(hex_of(&hash), format!("03{}", hex::encode(digest)));
}

#[test]
fn a_key_as_text_is_what_was_text_and_hexadecimal_otherwise() {
    let uuid = "01903c5e-5b1a-7c3d-8e4f-0123456789ab";
    let hashed = StoredKey::of("x").hashed().to_text();
    assert_eq!(hashed, hex::encode(Sha256::digest(b"\x02x")));
    for (key, text) in [
        (StoredKey::of("evt_é"), "evt_é"),
        (StoredKey::of(&-42), "-42"),
        (StoredKey::of(uuid), uuid),
        (StoredKey::of(""), ""),
        (StoredKey::of("a\0b"), "610062"),
        (StoredKey::of(b"evt"), "657674"),
        (StoredKey::of(&("a", 7)), "020261020237"),
    ] {
        assert_eq!(key.to_text(), text);
    }
}

/// The examples of the format's definition, and what stands at its steps.
#[test]
fn the_length_of_a_part_is_in_leb128() {
    for (length, encoded) in [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (624_485, "e58e26"),
    ] {
        let mut out = Vec::new();
        write_length(&mut out, length);
        assert_eq!(hex::encode(out), encoded, "{length}");
    }
}

#[test]
fn every_key_writes_what_it_stands_for_under_the_name_that_the_contract_shows() {
    type Parts<'a> = (
        ContentHash,
        Uuid,
        [u8; 3],
        &'a str,
        (&'a mut i32,),
        crate::EventId,
    );
    let id = Uuid::from_u128(7);
    let parts: Parts<'_> = (
        ContentHash::of("a"),
        id,
        *b"abc",
        "text",
        (&mut 7,),
        crate::EventId::new(id),
    );
    let plain = (
        Sha256::digest(b"a").to_vec(),
        id.to_string(),
        b"abc".as_slice(),
        "text".to_owned(),
        (7_u8,),
        id,
    );
    assert_eq!(StoredKey::of(&parts), StoredKey::of(&plain));
    assert_eq!(
        <Parts<'_> as Key>::name(),
        "(ContentHash,Uuid,bytes,String,(i32),Uuid)"
    );
}

#[test]
fn a_stored_key_does_not_show_itself() {
    let stored = StoredKey::of("secret");
    assert_eq!(format!("{stored:?}"), "StoredKey(7 bytes)");
}

#[test]
fn hashing_twice_is_hashing_once() {
    let long = StoredKey::of("x".repeat(100).as_str());
    assert_eq!(long.clone().hashed(), long);
    assert_ne!(StoredKey::of("x").hashed(), StoredKey::of("x"));
}

/// Guards: what a hand-written key writes is looked at, not what it is.
#[test]
fn a_key_is_empty_if_it_or_any_part_of_it_has_no_content() {
    struct Parts(Vec<String>);

    impl Key for Parts {
        fn name() -> String {
            "Parts".into()
        }

        fn write(&self, out: &mut KeyWriter) {
            let parts: Vec<&dyn encoding::WriteKey> = self
                .0
                .iter()
                .map(|part| part as &dyn encoding::WriteKey)
                .collect();
            out.tuple(&parts);
        }
    }

    struct Nothing;

    impl Key for Nothing {
        fn name() -> String {
            "Nothing".into()
        }

        fn write(&self, _: &mut KeyWriter) {}
    }

    let empty = |parts: &[&str]| {
        StoredKey::encode(&Parts(parts.iter().map(|&part| part.into()).collect())).1
    };
    assert!(empty(&[]) && empty(&[""]) && empty(&["a", ""]));
    assert!(!empty(&["a"]) && !empty(&["a", " "]));
    assert!(StoredKey::encode(&Nothing).1 && StoredKey::encode(&("a", Nothing)).1);
    assert!(StoredKey::encode("").1 && StoredKey::encode(b"").1);
    assert!(!StoredKey::encode(&0).1 && !StoredKey::encode(&Uuid::nil()).1);
}
