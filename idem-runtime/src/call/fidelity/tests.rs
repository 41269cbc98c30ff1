//! What a duplicate would get back, for each kind of value.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

/// A type is asked for `==` where it has it, as an expansion does.
macro_rules! checked {
    ($type:ty, $value:expr) => {{
        let value: $type = $value;
        written(&value, equality::<$type>().find())
    }};
}

macro_rules! kept {
    ($($type:ty: $value:expr),* $(,)?) => {$(
        if let Err(refused) = checked!($type, $value) {
            panic!("{} = {}: {refused:?}", stringify!($type), stringify!($value));
        }
    )*};
}

/// Read back as another value.
macro_rules! another {
    ($($type:ty: $value:expr),* $(,)?) => {$(
        match checked!($type, $value) {
            Err(NotFaithful { type_name, cause: None }) => {
                assert_eq!(type_name, std::any::type_name::<$type>());
            }
            kept => panic!("{} = {}: {kept:?}", stringify!($type), stringify!($value)),
        }
    )*};
}

/// Not to be written, or not to be read back.
macro_rules! unreadable {
    ($($type:ty: $value:expr),* $(,)?) => {$(
        match checked!($type, $value) {
            Err(NotFaithful { type_name, cause: Some(_) }) => {
                assert_eq!(type_name, std::any::type_name::<$type>());
            }
            kept => panic!("{} = {}: {kept:?}", stringify!($type), stringify!($value)),
        }
    )*};
}

mod derived;

use self::derived::Fields;

fn many() -> std::ops::Range<u32> {
    0..64
}

#[test]
fn what_json_calls_null_comes_back_as_none() {
    kept! {
        (): (),
        Option<()>: None,
        Option<u8>: Some(7),
        Option<Option<u8>>: None,
        Option<Option<u8>>: Some(Some(7)),
        Vec<Option<f64>>: vec![Some(0.5), None],
        Value: Value::Null,
        Option<Value>: Some(Value::Bool(true)),
        Option<Vec<()>>: Some(vec![()]),
    }
    another! {
        Option<()>: Some(()),
        Option<Option<u8>>: Some(None),
        Option<Option<Option<u8>>>: Some(Some(None)),
        Option<f64>: Some(f64::NAN),
        Option<f32>: Some(f32::INFINITY),
        Vec<Option<f64>>: vec![Some(f64::NAN)],
        (Option<()>, u8): (Some(()), 1),
        BTreeMap<u8, Option<()>>: BTreeMap::from([(1, Some(()))]),
        Option<Value>: Some(Value::Null),
        Option<Box<Option<()>>>: Some(Box::new(None)),
    }
}

#[test]
fn a_float_comes_back_to_the_last_bit_or_is_refused() {
    kept! {
        f64: -0.0,
        f64: 0.1 + 0.2,
        f64: 5e-324,
        f64: f64::MAX,
        f64: f64::MIN_POSITIVE,
        f64: 1.104_503_394_625_658_7e300,
        f32: 0.1,
        f32: f32::MIN_POSITIVE,
        f32: -0.0,
        f32: 16_777_217.0,
        f32: 1e-45,
        f32: f32::MAX,
        (f32, f64): (1.1, 1.1),
        Value: serde_json::json!({ "price": 1.0, "whole": 1 }),
    }
    unreadable! {
        f64: f64::NAN,
        f64: f64::INFINITY,
        f64: f64::NEG_INFINITY,
        f32: f32::NAN,
        Vec<f32>: vec![f32::INFINITY],
    }
}

#[test]
fn integers_texts_and_bytes_come_back() {
    kept! {
        bool: true,
        char: '\u{0}',
        i8: i8::MIN,
        u8: u8::MAX,
        i16: i16::MIN,
        u16: u16::MAX,
        i32: i32::MIN,
        u32: u32::MAX,
        i64: i64::MIN,
        u64: u64::MAX,
        i128: i128::MIN,
        u128: u128::MAX,
        Option<u128>: Some(u128::MAX),
        [u8; 3]: [1, 2, 3],
        (): (),
        (u8,): (1,),
        String: String::new(),
        String: "\u{0}\"\\\u{2028}é🦀".repeat(9),
        Box<str>: "boxed".into(),
        Cow<'static, str>: Cow::Borrowed("borrowed"),
        Bytes: Bytes(vec![0, 127, 255, 1, 2, 3, 4, 5, 6]),
        uuid::Uuid: uuid::Uuid::from_u128(u128::MAX / 3),
        std::time::Duration: std::time::Duration::new(1, 999_999_999),
        std::net::IpAddr: [127, 0, 0, 1].into(),
        std::num::NonZeroU8: std::num::NonZeroU8::MAX,
        Result<u8, String>: Err("no".into()),
        std::ops::RangeInclusive<u8>: 1..=2,
    }
}

#[derive(Debug, PartialEq, Eq, Hash, Clone)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

/// Guards: the elements of sets and maps are compared without regard to their order.
#[test]
fn maps_and_sets_are_the_same_in_every_order() {
    kept! {
        HashMap<u32, u32>: many().map(|n| (n, n * n)).collect(),
        HashMap<String, Vec<u32>>: many().map(|n| (n.to_string(), vec![n; 3])).collect(),
        HashSet<u32>: many().collect(),
        Vec<HashSet<u32>>: vec![many().collect(), HashSet::new(), many().skip(3).collect()],
        HashSet<BTreeSet<u32>>: many().map(|n| (n..n + 3).collect()).collect(),
        HashMap<u8, HashSet<String>>: HashMap::from([(1, many().map(|n| n.to_string()).collect())]),
        BTreeMap<i64, bool>: BTreeMap::from([(i64::MIN, true), (0, false)]),
        BTreeMap<bool, u8>: BTreeMap::from([(true, 1), (false, 0)]),
        BTreeMap<char, u8>: BTreeMap::from([('a', 1)]),
        BTreeMap<i128, u8>: BTreeMap::from([(i128::MAX, 1)]),
        BTreeMap<uuid::Uuid, u8>: BTreeMap::from([(uuid::Uuid::nil(), 1)]),
        BTreeMap<Level, u8>: BTreeMap::from([(Level::Low, 1), (Level::High, 2)]),
        VecDeque<u8>: VecDeque::from([1, 2]),
        LinkedList<u8>: LinkedList::from([2, 1]),
        Value: serde_json::json!({ "b": [3, 1, { "a": null }], "a": {} }),
    }
    unreadable! {
        HashMap<(u8, u8), u8>: HashMap::from([((1, 2), 3)]),
        BTreeMap<Vec<u8>, u8>: BTreeMap::from([(vec![1], 1)]),
        BTreeMap<(), u8>: BTreeMap::from([((), 1)]),
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Level {
    Low,
    High,
}

/// Two keys that JSON writes alike are one entry when they are read back.
#[test]
fn two_keys_that_json_writes_alike_are_refused() {
    #[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Id {
        Number(u8),
        Text(String),
    }
    another! {
        BTreeMap<Id, u8>: BTreeMap::from([(Id::Number(1), 1), (Id::Text("1".into()), 2)]),
    }
}

/// Guards: `==`. Serde never shows what is skipped, nor what a `with` loses.
#[test]
fn what_serde_does_not_show_is_refused_where_the_type_has_partial_eq() {
    #[derive(PartialEq, Serialize, Deserialize)]
    struct Skipping {
        a: u8,
        #[serde(skip)]
        b: u8,
    }
    #[derive(Serialize, Deserialize)]
    #[allow(dead_code, reason = "serde skips it")]
    struct SkippingUnseen {
        a: u8,
        #[serde(skip)]
        b: u8,
    }
    #[derive(PartialEq, Serialize, Deserialize)]
    struct Lossy(#[serde(with = "whole_seconds")] std::time::Duration);
    #[derive(PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Alike {
        First { a: u8 },
        Second { a: u8 },
    }
    kept! {
        Skipping: Skipping { a: 1, b: 0 },
        Lossy: Lossy(std::time::Duration::from_secs(2)),
        Alike: Alike::First { a: 1 },
        SkippingUnseen: SkippingUnseen { a: 1, b: 7 },
    }
    another! {
        Skipping: Skipping { a: 1, b: 7 },
        Lossy: Lossy(std::time::Duration::from_millis(2_500)),
        Alike: Alike::Second { a: 1 },
        Vec<Skipping>: vec![Skipping { a: 1, b: 7 }],
    }
}

mod whole_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&d.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(d)?;
        text.parse()
            .map(Duration::from_secs)
            .map_err(serde::de::Error::custom)
    }
}

/// Guards: a value that is not equal to itself is not asked by `==`.
#[test]
fn a_value_that_differs_from_itself_is_judged_by_what_serde_shows() {
    #[derive(Serialize, Deserialize)]
    struct Moody(u8);
    impl PartialEq for Moody {
        fn eq(&self, _: &Self) -> bool {
            false
        }
    }
    kept!(Moody: Moody(1));
}

#[test]
fn a_generic_function_is_judged_by_what_its_bounds_allow() {
    fn of<T: Serialize + DeserializeOwned>(value: &T) -> bool {
        written(value, equality::<T>().find()).is_ok()
    }
    fn of_comparable<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> bool {
        written(value, equality::<T>().find()).is_ok()
    }
    #[derive(PartialEq, Serialize, Deserialize)]
    struct Skipping(#[serde(skip)] u8, u8);
    assert!(of(&Skipping(7, 1)));
    assert!(!of_comparable(&Skipping(7, 1)));
    assert!(!of(&Some(())));
}

#[test]
fn raw_json_comes_back_as_it_was() {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    kept! {
        Box<RawValue>: raw("{ \"b\" : 1e2,\"a\":[ ] }"),
        Vec<Box<RawValue>>: vec![raw("1.0"), raw("true")],
    }
    another!(Option<Box<RawValue>>: Some(raw("null")));
}

/// Guards: `serde_json` bounds the depth of what it reads.
#[test]
fn what_is_nested_too_deep_to_be_read_is_refused() {
    #[derive(Serialize, Deserialize)]
    struct Tree(Vec<Tree>);
    let tree = |depth| (0..depth).fold(Tree(vec![]), |tree, _| Tree(vec![tree]));
    kept!(Tree: tree(100));
    unreadable!(Tree: tree(200));
}

#[test]
fn a_value_that_shows_itself_only_once_is_refused() {
    #[derive(Deserialize)]
    struct Once(#[serde(skip)] std::cell::Cell<bool>);
    impl Serialize for Once {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0.replace(true) {
                return Err(serde::ser::Error::custom("again"));
            }
            serializer.serialize_newtype_struct("Once", &[0_u8; 0])
        }
    }
    assert!(written(&Once(false.into()), None).is_err());
}

#[test]
#[should_panic(expected = "unfinished type")]
fn a_type_that_panics_when_it_is_read_panics_before_anything_is_stored() {
    #[derive(Debug)]
    struct Unfinished;
    impl Serialize for Unfinished {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_unit()
        }
    }
    impl<'de> Deserialize<'de> for Unfinished {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("unfinished type")
        }
    }
    let _ = written(&Unfinished, None);
}

#[test]
fn what_is_stored_is_the_json_of_the_value() {
    fn json<T: Serialize + DeserializeOwned + Debug>(value: &T) -> String {
        String::from_utf8(written(value, None).unwrap()).unwrap()
    }
    assert_eq!(json(&Fields { a: 1, b: None }), r#"{"a":1,"b":null}"#);
    assert_eq!(json(&()), "null");
}
