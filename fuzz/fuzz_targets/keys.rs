//! Keys against a second implementation of `docs/key_encoding.md`, written from that page: two keys
//! that differ are never stored alike, and a stored key that is not hashed can be read back whole.

#![no_main]

use arbitrary::Arbitrary;
use idem_runtime::__private::key;
use idem_runtime::fuzzing::ordering_key;
use idem_runtime::{ContentHash, Key, KeyWriter};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A key as a handler has it.
#[derive(Arbitrary, Debug, Clone)]
enum Part {
    Text(String),
    /// Text that is a UUID's canonical form, or nearly so.
    UuidText(u128, Option<(u8, char)>),
    Uuid(u128),
    Signed(i128),
    Unsigned(u64),
    Bytes(Vec<u8>),
    Content(Vec<u8>),
    Tuple(Vec<Part>),
}

/// What two keys must agree in to be one.
#[derive(Debug, PartialEq, Eq, Clone)]
enum Identity {
    Uuid([u8; 16]),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Identity>),
}

impl Part {
    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::UuidText(uuid, None) => Some(hyphenated(*uuid)),
            Self::UuidText(uuid, Some((at, char))) => {
                let mut chars: Vec<char> = hyphenated(*uuid).chars().collect();
                let at = usize::from(*at) % chars.len();
                chars[at] = *char;
                Some(chars.into_iter().collect())
            }
            Self::Signed(number) => Some(number.to_string()),
            Self::Unsigned(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn identity(&self) -> Identity {
        match self {
            Self::Uuid(uuid) => Identity::Uuid(uuid.to_be_bytes()),
            Self::Bytes(bytes) => Identity::Bytes(bytes.clone()),
            Self::Content(bytes) => Identity::Bytes(Sha256::digest(bytes).to_vec()),
            Self::Tuple(parts) => Identity::Tuple(parts.iter().map(Self::identity).collect()),
            text => {
                let text = text.text().expect("all others are text");
                canonical(&text).map_or(Identity::Text(text), Identity::Uuid)
            }
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Tuple(parts) => 1 + parts.iter().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }
}

impl Key for Part {
    fn name() -> String {
        "Part".into()
    }

    fn write(&self, out: &mut KeyWriter) {
        match self {
            Self::Text(_) | Self::UuidText(..) => out.text(&self.text().expect("text")),
            Self::Uuid(uuid) => Uuid::from_u128(*uuid).write(out),
            Self::Signed(number) => number.write(out),
            Self::Unsigned(number) => number.write(out),
            Self::Bytes(bytes) => bytes.write(out),
            Self::Content(bytes) => ContentHash::of(bytes).write(out),
            Self::Tuple(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| part as _).collect();
                out.tuple(&parts);
            }
        }
    }
}

fn hyphenated(uuid: u128) -> String {
    let hex = format!("{uuid:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

/// The UUID whose one canonical form this is.
fn canonical(text: &str) -> Option<[u8; 16]> {
    let hex: String = text.split('-').collect();
    let lower = hex
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let uuid = u128::from_str_radix(&hex, 16).ok().filter(|_| lower)?;
    (hyphenated(uuid) == text).then(|| uuid.to_be_bytes())
}

impl Identity {
    fn encoded(&self) -> Vec<u8> {
        match self {
            Self::Uuid(uuid) => [&[1], &uuid[..]].concat(),
            Self::Text(text) => [&[2], text.as_bytes()].concat(),
            Self::Bytes(bytes) => [&[3], &bytes[..]].concat(),
            Self::Tuple(parts) => {
                let mut out = vec![4];
                for part in parts.iter().map(Self::encoded) {
                    out.extend(leb128(part.len()));
                    out.extend(part);
                }
                out
            }
        }
    }

    fn decoded(encoded: &[u8]) -> Self {
        let (tag, mut body) = encoded.split_first().expect("a tag");
        match tag {
            1 => Self::Uuid(body.try_into().expect("16 bytes")),
            2 => Self::Text(String::from_utf8(body.to_vec()).expect("UTF-8")),
            3 => Self::Bytes(body.to_vec()),
            4 => {
                let mut parts = Vec::new();
                while !body.is_empty() {
                    let (mut length, mut shift) = (0, 0);
                    loop {
                        let (byte, rest) = body.split_first().expect("a length");
                        body = rest;
                        length |= usize::from(byte & 0x7f) << shift;
                        shift += 7;
                        if byte & 0x80 == 0 {
                            break;
                        }
                    }
                    let (part, rest) = body.split_at(length);
                    parts.push(Self::decoded(part));
                    body = rest;
                }
                Self::Tuple(parts)
            }
            tag => panic!("no tag {tag}"),
        }
    }
}

fn leb128(mut length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = (length & 0x7f).to_le_bytes()[0];
        length >>= 7;
        out.push(if length == 0 { low } else { low | 0x80 });
        if length == 0 {
            return out;
        }
    }
}

fn stored(part: &Part) -> Vec<u8> {
    let stored = key(part).erase();
    assert!(
        format!("{stored:?}").len() < 24,
        "the key is shown: {stored:?}"
    );
    stored.as_bytes().to_vec()
}

/// Says that a key is stored as the page says; gives what makes it the key that it is.
fn check(part: &Part) -> (Identity, Vec<u8>) {
    let identity = part.identity();
    let encoded = identity.encoded();
    assert_eq!(Identity::decoded(&encoded), identity);
    let expected = if encoded.len() <= 64 {
        encoded
    } else {
        [&[5], &Sha256::digest(&encoded)[..]].concat()
    };
    let stored = stored(part);
    assert_eq!(stored, expected);

    let ordering = ordering_key(part);
    assert!(ordering.len() <= 255, "longer than its column: {ordering}");
    assert!(!ordering.contains('\0'), "PostgreSQL takes no NUL in text");
    match &identity {
        Identity::Uuid(uuid) => assert_eq!(ordering, Uuid::from_bytes(*uuid).to_string()),
        Identity::Text(text) if text.len() < 64 && !text.contains('\0') => {
            assert_eq!(ordering, *text);
        }
        _ => assert!(ordering.bytes().all(|byte| byte.is_ascii_hexdigit())),
    }
    (identity, stored)
}

fuzz_target!(|parts: (Part, Part)| {
    let (one, other) = parts;
    if one.depth().max(other.depth()) > 32 {
        return;
    }
    let (one, other) = (check(&one), check(&other));
    assert_eq!(one.0 == other.0, one.1 == other.1);
});
