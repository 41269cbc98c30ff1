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

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum External {
    Unit,
    New(u32),
    Tuple(u32, Option<String>),
    Struct { a: u32, b: Option<u32> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Internal {
    Unit,
    New(Fields),
    Struct { a: u32, b: Option<u32> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data")]
enum Adjacent {
    Unit,
    New(u32),
    Tuple(u32, Option<String>),
    Struct { a: u32, b: Option<u32> },
    Maybe(Option<u32>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Fields {
    a: u32,
    b: Option<u32>,
}

#[test]
fn enums_come_back_in_every_representation() {
    let fields = || Fields { a: 1, b: None };
    kept! {
        External: External::Unit,
        External: External::New(1),
        External: External::Tuple(1, Some("x".into())),
        External: External::Struct { a: 1, b: None },
        Internal: Internal::Unit,
        Internal: Internal::New(fields()),
        Internal: Internal::Struct { a: 1, b: Some(2) },
        Adjacent: Adjacent::Unit,
        Adjacent: Adjacent::New(1),
        Adjacent: Adjacent::Tuple(1, None),
        Adjacent: Adjacent::Struct { a: 1, b: None },
        Adjacent: Adjacent::Maybe(None),
        Vec<External>: vec![External::Unit, External::New(2)],
    }
}

/// No `PartialEq`: what serde shows decides alone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Short { a: u8 },
    Long { a: u8, b: u8 },
    Number(u64),
    Text(String),
}

#[test]
fn an_untagged_variant_that_is_read_as_an_earlier_one_is_refused() {
    kept! {
        Untagged: Untagged::Short { a: 1 },
        Untagged: Untagged::Number(1),
        Untagged: Untagged::Text("1".into()),
    }
    another! {
        Untagged: Untagged::Long { a: 1, b: 2 },
        Vec<Untagged>: vec![Untagged::Text("x".into()), Untagged::Long { a: 1, b: 2 }],
        Result<Untagged, ()>: Ok(Untagged::Long { a: 1, b: 2 }),
    }
}

#[test]
fn a_number_that_is_read_as_another_kind_of_number_is_refused() {
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Price {
        Float(f64),
        Cents(u64),
    }
    kept!(Price: Price::Float(1.0));
    another!(Price: Price::Cents(100));
}

#[test]
fn a_field_that_is_left_out_needs_a_default() {
    #[derive(PartialEq, Serialize, Deserialize)]
    struct WithDefault {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    }
    #[derive(PartialEq, Serialize, Deserialize)]
    struct Without {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    }
    #[derive(Serialize, Deserialize)]
    struct WrongDefault {
        #[serde(default = "seven", skip_serializing_if = "is_zero")]
        count: u8,
    }
    fn seven() -> u8 {
        7
    }
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_zero(count: &u8) -> bool {
        *count == 0
    }
    kept! {
        WithDefault: WithDefault { notes: vec![], note: None },
        WithDefault: WithDefault { notes: vec!["x".into()], note: Some("y".into()) },
        Without: Without { notes: vec!["x".into()] },
        WrongDefault: WrongDefault { count: 1 },
    }
    unreadable!(Without: Without { notes: vec![] });
    another!(WrongDefault: WrongDefault { count: 0 });
}

#[test]
fn flattened_fields_come_back_unless_two_share_a_name() {
    #[derive(PartialEq, Serialize, Deserialize)]
    struct Open {
        a: u32,
        #[serde(flatten)]
        fields: Inner,
        #[serde(flatten)]
        rest: HashMap<String, Value>,
    }
    #[derive(PartialEq, Serialize, Deserialize)]
    struct Inner {
        b: Option<u32>,
    }
    let open = |rest| Open {
        a: 1,
        fields: Inner { b: Some(2) },
        rest,
    };
    kept! {
        Open: open(HashMap::new()),
        Open: open(many().map(|n| (format!("k{n}"), Value::from(n))).collect()),
    }
    unreadable!(Open: open(HashMap::from([("a".into(), Value::from(9))])));
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
