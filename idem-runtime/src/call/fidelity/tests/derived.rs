//! What serde's attributes make of structs and enums.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::*;

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
pub(super) struct Fields {
    pub(super) a: u32,
    pub(super) b: Option<u32>,
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
