//! What identifies a delivery, and the bytes it is stored as.
//!
//! The encoding is published, in `docs/key_encoding.md`: changing it would make every delivery that was handled look
//! new.

use sha2::{Digest, Sha256};
use uuid::Uuid;

const UUID: u8 = 0x01;
const TEXT: u8 = 0x02;
const BYTES: u8 = 0x03;
const TUPLE: u8 = 0x04;
const HASHED: u8 = 0x05;

/// The longest encoding that is stored as it is; a longer one is stored as its SHA-256.
pub(crate) const VERBATIM: usize = 64;

/// A type whose values identify a delivery, the same on every delivery of it.
///
/// Implemented for text, integers, [`Uuid`], byte strings, [`ContentHash`], references and tuples of
/// those. `#[derive(Key)]` implements it for a newtype of any of them, with the same encoding.
///
/// ```
/// use idem_runtime::Key;
///
/// #[derive(Key)]
/// struct OrderId(uuid::Uuid);
/// ```
///
/// By hand, for a type of several fields, as one part or as a tuple of parts:
///
/// ```
/// use idem_runtime::{Key, KeyWriter};
///
/// struct InvoiceNumber {
///     year: u16,
///     number: u32,
/// }
///
/// impl Key for InvoiceNumber {
///     fn name() -> String {
///         "InvoiceNumber".into()
///     }
///
///     fn write(&self, out: &mut KeyWriter) {
///         out.tuple(&[&self.year, &self.number]);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stable key",
    label = "not a `Key`",
    note = "use the ID that the event's producer minted: text, an integer, `Uuid`, bytes, or a tuple of those; `#[derive(Key)]` covers a newtype",
    note = "a float, `Option`, `()` or a timestamp is not the same on every delivery, or not there on each; for a message without an ID use `ContentHash::of(bytes)`"
)]
pub trait Key {
    /// The name of the encoded type, as it stands in `idem.lock`.
    fn name() -> String;

    /// Writes this value, as one part, in the [published format](crate::guide::key_encoding): the same bytes for the same
    /// value in every release, since what is stored is compared byte for byte.
    fn write(&self, out: &mut KeyWriter);
}

/// Receives the parts of a [`Key`].
#[derive(Debug, Default)]
pub struct KeyWriter {
    encoded: Vec<u8>,
}

impl KeyWriter {
    /// Text, verbatim. Text that is the canonical form of a UUID is the same key as that UUID.
    pub fn text(&mut self, text: &str) {
        match canonical_uuid(text) {
            Some(uuid) => self.part(UUID, uuid.as_bytes()),
            None => self.part(TEXT, text.as_bytes()),
        }
    }

    /// A UUID.
    pub fn uuid(&mut self, uuid: Uuid) {
        self.part(UUID, uuid.as_bytes());
    }

    /// Bytes, which are never the same key as text.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.part(BYTES, bytes);
    }

    /// Several parts as one.
    pub fn tuple(&mut self, parts: &[&dyn WriteKey]) {
        self.encoded.push(TUPLE);
        for part in parts {
            let mut inner = Self::default();
            part.write_to(&mut inner);
            write_length(&mut self.encoded, inner.encoded.len());
            self.encoded.append(&mut inner.encoded);
        }
    }

    fn part(&mut self, tag: u8, body: &[u8]) {
        self.encoded.push(tag);
        self.encoded.extend_from_slice(body);
    }
}

/// [`Key::write`] behind a pointer, for the parts of a tuple.
pub trait WriteKey {
    /// Writes this part.
    fn write_to(&self, out: &mut KeyWriter);
}

impl<K: Key + ?Sized> WriteKey for K {
    fn write_to(&self, out: &mut KeyWriter) {
        self.write(out);
    }
}

fn canonical_uuid(text: &str) -> Option<Uuid> {
    if text.len() != 36 {
        return None;
    }
    let uuid = Uuid::try_parse(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    (uuid.hyphenated().encode_lower(&mut buffer) == text).then_some(uuid)
}

fn write_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(u8::try_from(0x80 + length % 0x80).expect("eight bits"));
        length /= 0x80;
    }
    out.push(u8::try_from(length).expect("seven bits"));
}

/// The bytes under which a key is stored: at most 64, unique to the key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StoredKey(Box<[u8]>);

impl StoredKey {
    pub(crate) fn of<K: Key + ?Sized>(key: &K) -> Self {
        let mut writer = KeyWriter::default();
        key.write(&mut writer);
        let encoded = Self(writer.encoded.into());
        if encoded.0.len() > VERBATIM {
            encoded.hashed()
        } else {
            encoded
        }
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

    /// The key as text: what was text, an integer or a UUID as it was, everything else in hexadecimal. Text with
    /// a NUL is hexadecimal too, since PostgreSQL takes none.
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

impl Key for Uuid {
    fn name() -> String {
        "Uuid".into()
    }

    fn write(&self, out: &mut KeyWriter) {
        out.uuid(*self);
    }
}

macro_rules! text_keys {
    ($($ty:ty),*) => {$(
        impl Key for $ty {
            fn name() -> String {
                "String".into()
            }

            fn write(&self, out: &mut KeyWriter) {
                out.text(self);
            }
        }
    )*};
}

text_keys!(
    str,
    String,
    Box<str>,
    std::sync::Arc<str>,
    std::borrow::Cow<'_, str>
);

macro_rules! integer_keys {
    ($($ty:ty),*) => {$(
        impl Key for $ty {
            fn name() -> String {
                stringify!($ty).into()
            }

            fn write(&self, out: &mut KeyWriter) {
                out.text(&self.to_string());
            }
        }
    )*};
}

integer_keys!(
    i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize
);

macro_rules! byte_keys {
    ($($(#[$generics:tt])? $ty:ty),*) => {$(
        impl Key for $ty {
            fn name() -> String {
                "bytes".into()
            }

            fn write(&self, out: &mut KeyWriter) {
                out.bytes(self);
            }
        }
    )*};
}

byte_keys!([u8], Vec<u8>, Box<[u8]>, std::sync::Arc<[u8]>);

impl<const N: usize> Key for [u8; N] {
    fn name() -> String {
        "bytes".into()
    }

    fn write(&self, out: &mut KeyWriter) {
        out.bytes(self);
    }
}

impl<K: Key + ?Sized> Key for &K {
    fn name() -> String {
        K::name()
    }

    fn write(&self, out: &mut KeyWriter) {
        K::write(self, out);
    }
}

impl<K: Key + ?Sized> Key for &mut K {
    fn name() -> String {
        K::name()
    }

    fn write(&self, out: &mut KeyWriter) {
        K::write(self, out);
    }
}

macro_rules! tuple_keys {
    ($(($($name:ident)+))*) => {$(
        impl<$($name: Key),+> Key for ($($name,)+) {
            fn name() -> String {
                format!("({})", [$($name::name()),+].join(","))
            }

            fn write(&self, out: &mut KeyWriter) {
                #[allow(non_snake_case)]
                let ($($name,)+) = self;
                out.tuple(&[$($name),+]);
            }
        }
    )*};
}

tuple_keys! {
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
}

#[cfg(test)]
mod tests {
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
        let published = include_str!("../docs/key_encoding.md");
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
}
