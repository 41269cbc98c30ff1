//! `idem.lock`: any text is read or refused with a reason; what is written is read back as it was;
//! a file differs from the code exactly where a line does, and then the report says something of
//! each.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use idem_runtime::fuzzing::{differences, lines, written};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Of a file that someone edited.
    text: String,
    before: Vec<Fields>,
    after: Vec<Fields>,
    /// How many of `after` are as they were, and how many of those moved.
    kept: u8,
    moved: u8,
}

#[derive(Arbitrary, Debug, Clone)]
struct Fields {
    scope: Text,
    key: Text,
    fingerprint: Text,
    duplicate: Text,
    error: Text,
    retention: Text,
    isolation: Text,
    emits: Text,
    kind: Text,
    ordering_key: Text,
    batch: bool,
}

#[derive(Arbitrary, Debug, Clone)]
enum Text {
    Usual(u8),
    Any(String),
}

const SCOPES: &[&str] = &[
    "payments.apply",
    "a::b::apply",
    "c::apply",
    "orders::place",
    "x",
    "é",
];
const KEYS: &[&str] = &[
    "-",
    "event.id:Uuid",
    "event.id:String",
    "event.id:i64",
    "event.id:u32",
    "event.id:hash(Uuid)",
    "event.id:_",
    "id:_",
    "(a,b::c):(String,(i32,bytes))",
    "(a,b::c):(Uuid,(i64,ContentHash))",
    "a::b(c):OrderId",
    "event.id",
    ":",
    "::",
    "a:",
    ":a",
];
const DUPLICATES: &[&str] = &[
    "-",
    "skip",
    "replay:Receipt@1",
    "replay:Receipt@2",
    "replay:T@4294967295",
    "replay:@",
    "replay:T@x",
];
const RETENTIONS: &[&str] = &[
    "-",
    "forever",
    "30d",
    "720h",
    "1ms",
    "99999999999999999999d",
    "18446744073709551615d",
    "d",
];
const TOPICS: &[&str] = &[
    "-",
    "orders.placed",
    "orders.placed,ledger.posted",
    "ledger.posted",
    ",",
    "a,a",
    "_",
];

impl Text {
    fn get(&self, usual: &'static [&'static str]) -> String {
        match self {
            Self::Any(text) if !text.is_empty() => text.clone(),
            Self::Any(_) => "-".into(),
            Self::Usual(at) => usual[usize::from(*at) % usual.len()].into(),
        }
    }
}

impl Fields {
    fn get(&self) -> [String; 11] {
        [
            self.scope.get(SCOPES),
            self.key.get(KEYS),
            self.fingerprint.get(&["-", "event.amount", "event.total"]),
            self.duplicate.get(DUPLICATES),
            self.error.get(&["rollback", "record"]),
            self.retention.get(RETENTIONS),
            self.isolation
                .get(&["-", "serializable", "repeatable read"]),
            self.emits.get(TOPICS),
            self.kind.get(&["OrderPlaced", "LedgerPosted", "_"]),
            self.ordering_key.get(&["-", "order_id", "tenant", "_"]),
            if self.batch { "batch" } else { "-" }.into(),
        ]
    }
}

/// One handler a scope, by the line that it has.
fn handlers(fields: impl IntoIterator<Item = [String; 11]>) -> BTreeMap<String, [String; 11]> {
    let mut handlers = BTreeMap::new();
    for fields in fields {
        let line = written(fields.each_ref().map(String::as_str));
        let scope = line.split(' ').next().expect("a scope").to_owned();
        handlers.entry(scope).or_insert(fields);
    }
    handlers
}

fn lock(handlers: &BTreeMap<String, [String; 11]>) -> Vec<String> {
    let line = |fields: &[String; 11]| written(fields.each_ref().map(String::as_str));
    handlers.values().map(line).collect()
}

fuzz_target!(|input: Input| {
    match lines(&input.text) {
        Ok(read) => {
            assert_eq!(
                lines(&read.join("\n")).as_ref(),
                Ok(&read),
                "read otherwise the second time"
            );
        }
        Err(reason) => assert!(reason.starts_with("line"), "{reason}"),
    }

    let before = handlers(input.before.iter().map(Fields::get));
    let locked = lock(&before);
    let file = locked.join("\n");
    assert_eq!(
        lines(&file).as_ref(),
        Ok(&locked),
        "what was written is not what is read"
    );

    let kept = before.values().take(input.kept.into()).cloned().enumerate();
    let kept = kept.map(|(at, mut fields)| {
        if at < usize::from(input.moved) {
            fields[0] = format!("moved::{}", fields[0]);
        }
        fields
    });
    let after = handlers(kept.chain(input.after.iter().map(Fields::get)));
    let registered: Vec<[&str; 11]> = after
        .values()
        .map(|fields| fields.each_ref().map(String::as_str))
        .collect();
    let (count, report) = differences(&file, &registered).expect("a file that was read");
    assert_eq!(count == 0, lock(&after) == locked, "{report}");
    assert!(report.lines().count() >= 3 * count, "{report}");
});
