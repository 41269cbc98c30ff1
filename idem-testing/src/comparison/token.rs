//! Which parts of a value could differ from run to run: numbers, UUIDs and times, also inside text
//! and JSON.

use super::snapshot::Value;
use super::timestamp::Timestamp;

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// What stands before it in the value: the key of a JSON object, or the text's last characters.
    /// Empty for a piece that is the whole value.
    pub(crate) label: String,
    pub(crate) token: Token,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Token {
    Null,
    /// What is equal in each run or a difference.
    Literal(Vec<u8>),
    /// Digits, perhaps with a fraction.
    Number(String),
    Uuid([u8; 16]),
    Time(Timestamp),
    /// A `traceparent`.
    Trace(String),
}

/// The pieces of a value, in order; never none.
pub(crate) fn parts(value: &Value) -> Vec<Part> {
    let whole = |token| {
        vec![Part {
            label: String::new(),
            token,
        }]
    };
    match value {
        Value::Null => whole(Token::Null),
        Value::Number(text) | Value::Text(text) => scan(text),
        Value::Bytes(bytes) => match (std::str::from_utf8(bytes), uuid_of_bytes(bytes)) {
            (_, Some(uuid)) => whole(Token::Uuid(uuid)),
            (Ok(text), None) => scan(text),
            (Err(_), None) => whole(Token::Literal(bytes.clone())),
        },
    }
}

/// Whether the value as a whole is a UUID, in any of the ways in which databases hold one.
pub(crate) fn uuid(value: &Value) -> Option<[u8; 16]> {
    match value {
        Value::Text(text) if matches!(text.len(), 32 | 36) => match &scan(text)[..] {
            [
                Part {
                    token: Token::Uuid(uuid),
                    ..
                },
            ] => Some(*uuid),
            _ => None,
        },
        Value::Bytes(bytes) => uuid_of_bytes(bytes),
        _ => None,
    }
}

fn scan(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut literal_from, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while let Some(first) = bytes.get(at) {
        let boundary = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        let begins = first.is_ascii_digit() || (boundary && first.is_ascii_hexdigit());
        let Some((token, length)) = begins.then(|| token(&text[at..], boundary)).flatten() else {
            at += 1;
            continue;
        };
        let literal = &text[literal_from..at];
        push_literal(&mut parts, literal);
        parts.push(Part {
            label: label(literal),
            token,
        });
        at += length;
        literal_from = at;
    }
    if parts.is_empty() {
        return vec![Part {
            label: String::new(),
            token: Token::Literal(bytes.to_vec()),
        }];
    }
    push_literal(&mut parts, &text[literal_from..]);
    parts
}

fn push_literal(parts: &mut Vec<Part>, literal: &str) {
    if !literal.is_empty() {
        parts.push(Part {
            label: String::new(),
            token: Token::Literal(literal.as_bytes().to_vec()),
        });
    }
}

/// The name that a reader would give to what follows this text.
fn label(before: &str) -> String {
    let bare = before.trim_end_matches([' ', '"', '\\', '[', '-']);
    if let Some(key) = bare.strip_suffix(':') {
        let key = key.trim_end_matches([' ', '"', '\\']);
        let start = key.rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')));
        return key[start.map_or(0, |at| at + 1)..].to_owned();
    }
    let last = before.chars().rev().take(16).collect::<Vec<_>>();
    last.into_iter().rev().collect()
}

/// The token that the text begins with, and its length.
fn token(text: &str, boundary: bool) -> Option<(Token, usize)> {
    let bytes = text.as_bytes();
    if boundary && bytes[0].is_ascii_hexdigit() {
        if let Some(length) = trace(bytes) {
            return Some((Token::Trace(text[..length].to_owned()), length));
        }
        if let Some((uuid, length)) = uuid_of_text(text) {
            return Some((Token::Uuid(uuid), length));
        }
        if let Some(timestamp) = Timestamp::at_start_of(text) {
            let length = timestamp.text.len();
            return Some((Token::Time(timestamp), length));
        }
    }
    let digits = |from: usize| digits(&bytes[from..]);
    let mut length = digits(0);
    if length == 0 {
        return None;
    }
    if bytes.get(length) == Some(&b'.') && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    Some((Token::Number(text[..length].to_owned()), length))
}

fn digits(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

fn trace(bytes: &[u8]) -> Option<usize> {
    has_shape(bytes, &[2, 32, 16, 2]).then_some(55)
}

/// Runs of hexadecimal digits of these lengths with hyphens between them, and nothing directly
/// after.
fn has_shape(bytes: &[u8], runs: &[usize]) -> bool {
    let mut at = 0;
    for (number, run) in runs.iter().enumerate() {
        if number > 0 {
            if bytes.get(at) != Some(&b'-') {
                return false;
            }
            at += 1;
        }
        let Some(digits) = bytes.get(at..at + run) else {
            return false;
        };
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return false;
        }
        at += run;
    }
    !bytes.get(at).is_some_and(u8::is_ascii_alphanumeric)
}

fn uuid_of_text(text: &str) -> Option<([u8; 16], usize)> {
    let length = [(&[8, 4, 4, 4, 12][..], 36), (&[32][..], 32)]
        .into_iter()
        .find_map(|(runs, length)| has_shape(text.as_bytes(), runs).then_some(length))?;
    let uuid = hex::decode(text[..length].replace('-', "")).ok()?;
    Some((uuid_of_bytes(&uuid)?, length))
}

/// Sixteen bytes with the version and the variant of a UUID where they must be.
fn uuid_of_bytes(bytes: &[u8]) -> Option<[u8; 16]> {
    let uuid: [u8; 16] = bytes.try_into().ok()?;
    let (version, variant) = (uuid[6] >> 4, uuid[8] >> 6);
    ((1..=8).contains(&version) && variant == 0b10).then_some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<(String, Token)> {
        parts(&Value::Text(text.into()))
            .into_iter()
            .map(|part| (part.label, part.token))
            .collect()
    }

    fn literal(text: &str) -> (String, Token) {
        (String::new(), Token::Literal(text.into()))
    }

    #[test]
    fn a_number_in_json_is_called_by_its_key() {
        assert_eq!(
            tokens(r#"{"order_id":7,"total": 1.50}"#),
            [
                literal(r#"{"order_id":"#),
                ("order_id".into(), Token::Number("7".into())),
                literal(r#","total": "#),
                ("total".into(), Token::Number("1.50".into())),
                literal("}"),
            ]
        );
    }

    #[test]
    fn a_whole_value_has_no_label() {
        assert_eq!(tokens("7"), [(String::new(), Token::Number("7".into()))]);
        assert_eq!(tokens(""), [literal("")]);
        assert_eq!(tokens("äöü"), [literal("äöü")]);
    }

    #[test]
    fn a_uuid_is_one_in_text_without_hyphens_and_in_bytes() {
        let uuid = *uuid::Uuid::parse_str("01890a5d-ac96-774b-bcce-b302099a8057")
            .unwrap()
            .as_bytes();
        let of = |value| super::uuid(&value);
        assert_eq!(
            of(Value::Text("01890a5d-ac96-774b-bcce-b302099a8057".into())),
            Some(uuid)
        );
        assert_eq!(
            of(Value::Text("01890A5DAC96774BBCCEB302099A8057".into())),
            Some(uuid)
        );
        assert_eq!(of(Value::Bytes(uuid.to_vec())), Some(uuid));
        assert_eq!(
            of(Value::Text("x01890a5dac96774bbcceb302099a805".into())),
            None
        );
        // A hash has neither version nor variant, as a rule.
        assert_eq!(
            of(Value::Text("0123456789abcdef0123456789abcdef".into())),
            None
        );
        assert_eq!(of(Value::Bytes(b"sixteen letters!".to_vec())), None);
    }

    #[test]
    fn times_and_traces_are_one_token_each() {
        let [(_, Token::Time(_))] = &tokens("2026-11-26 17:10:41.123456+00")[..] else {
            panic!()
        };
        let [(_, Token::Trace(_))] =
            &tokens("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")[..]
        else {
            panic!()
        };
        let [_, (label, Token::Time(_)), _] = &tokens(r#"{"at":"2026-11-26T17:10:41Z"}"#)[..]
        else {
            panic!()
        };
        assert_eq!(label, "at");
    }

    fn number(label: &str, number: &str) -> (String, Token) {
        (label.into(), Token::Number(number.into()))
    }

    #[test]
    fn a_number_may_follow_a_letter_and_has_a_fraction_if_digits_follow_the_point() {
        assert_eq!(tokens("order7"), [literal("order"), number("order", "7")]);
        assert_eq!(tokens("1.50"), [number("", "1.50")]);
        assert_eq!(tokens("12."), [number("", "12"), literal(".")]);
        assert_eq!(
            tokens("1.2.3"),
            [number("", "1.2"), literal("."), number(".", "3")]
        );
    }

    #[test]
    fn a_number_in_text_is_called_by_what_stands_before_it() {
        assert_eq!(
            tokens("paid by customer number 7"),
            [
                literal("paid by customer number "),
                number("customer number ", "7")
            ]
        );
        let label = |text: &str| tokens(text)[1].0.clone();
        assert_eq!(label("a:7"), "a");
        assert_eq!(label(r#"{"of": {"order-id.x" : [-7]}}"#), "order-id.x");
        assert_eq!(label(r#"{\"the id\":\"7\"}"#), "id");
        assert_eq!(label("größe: 7"), "größe");
    }

    #[test]
    fn a_uuid_begins_with_any_digit_and_ends_where_it_must() {
        let text = "f1890a5d-ac96-774b-bcce-b302099a8057";
        let is_uuid = |text: &str| matches!(&tokens(text)[..], [(_, Token::Uuid(_))]);
        assert!(is_uuid(text));
        assert!(is_uuid(&text.replace('-', "")));
        for other in [
            format!("{text}0"),
            format!("{text}z"),
            format!("x{text}"),
            text.replacen('-', "_", 1),
            text.replacen('5', "g", 1),
            text[..35].into(),
        ] {
            assert!(
                tokens(&other)
                    .iter()
                    .all(|(_, token)| !matches!(token, Token::Uuid(_))),
                "{other}"
            );
        }
        let [(_, Token::Uuid(_)), (_, Token::Literal(rest))] = &tokens(&format!("{text}, z"))[..]
        else {
            panic!()
        };
        assert_eq!(rest, b", z");
    }

    #[test]
    fn sixteen_bytes_are_a_uuid_by_their_version_and_variant() {
        let is_uuid = |version: u8, variant: u8| {
            let mut bytes = [0xff; 16];
            (bytes[6], bytes[8]) = (version << 4, variant << 6);
            super::uuid(&Value::Bytes(bytes.to_vec())).is_some()
        };
        assert!((1..=8).all(|version| is_uuid(version, 0b10)));
        assert!(!is_uuid(0, 0b10) && !is_uuid(9, 0b10));
        assert!(
            [0b00, 0b01, 0b11]
                .iter()
                .all(|variant| !is_uuid(7, *variant))
        );
        assert_eq!(super::uuid(&Value::Bytes(vec![0x77; 15])), None);
    }
}
