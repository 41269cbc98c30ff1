use super::line::Line;
use super::*;
use crate::event::EventContract;

fn contract() -> Contract {
    Contract {
        package: "payments",
        file: "src/lib.rs",
        line: 12,
        function: "apply",
        scope: "payments.apply",
        key: Some("event.id"),
        key_type: || "Uuid".into(),
        hashed: false,
        fingerprint: None,
        duplicate: "replay:Receipt@1",
        error: "rollback",
        retention: "90d",
        isolation: "-",
        batch: false,
        emits: || vec![EventContract::new("ledger.posted", "Posted", "account")],
        find_error: || None,
    }
}

/// The published format of the file.
#[test]
fn a_contract_is_one_line() {
    assert_eq!(
        Line::of(&contract()).to_string(),
        "payments.apply key=event.id:Uuid fingerprint=- duplicate=replay:Receipt@1 error=rollback retention=90d isolation=- emits=ledger.posted type=Posted ordering_key=account"
    );
    let keyless = Contract {
        key: None,
        duplicate: "-",
        retention: "-",
        emits: || {
            let [a, b] = ["a", "b"].map(|topic| EventContract::new(topic, "T", "(x, y)"));
            vec![b, a, b]
        },
        ..contract()
    };
    assert_eq!(
        Line::of(&keyless).to_string(),
        "payments.apply key=- fingerprint=- duplicate=- error=rollback retention=- isolation=- emits=a type=T ordering_key=(x,␣y) \
         emits=b type=T ordering_key=(x,␣y)"
    );
}

/// Guards: the line of a handler of one event is what it was before there were batches.
#[test]
fn the_line_of_a_batch_handler_has_one_word_more() {
    for emits in [contract().emits, Vec::new] {
        let one = Contract {
            emits,
            ..contract()
        };
        let many = Contract { batch: true, ..one };
        let (one, many) = (Line::of(&one), Line::of(&many));
        assert_eq!(many.to_string(), format!("{one} batch"));
        assert_eq!(Line::parse(&one.to_string()), Ok(one));
        assert_eq!(Line::parse(&many.to_string()), Ok(many));
    }
    for wrong in ["batch batch", "batch=true", "batch emits=-"] {
        let line = Line::of(&contract());
        assert!(Line::parse(&format!("{line} {wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn a_line_splits_at_its_blanks_whatever_the_code_says() {
    let spaced = Contract {
        key: Some("(event.tenant,event.id as u64,format!(\"{} {}\",a,b))"),
        key_type: || "(String, u64, String)".into(),
        hashed: false,
        fingerprint: Some("event.total as i64"),
        duplicate: "replay:Box<dyn Any>@2",
        emits: Vec::new,
        ..contract()
    };
    let line = Line::of(&spaced);
    assert_eq!(
        line.to_string(),
        "payments.apply key=(event.tenant,event.id␣as␣u64,format!(\"{}␣{}\",a,b)):(String,␣u64,␣String) \
         fingerprint=event.total␣as␣i64 duplicate=replay:Box<dyn␣Any>@2 error=rollback retention=90d isolation=- emits=-"
    );
    assert_eq!(Line::parse(&line.to_string()), Ok(line));
}

#[test]
fn the_key_and_its_type_part_at_the_last_single_colon() {
    let key = |key: &str| {
        let line = format!(
            "s key={key} fingerprint=- duplicate=skip error=rollback retention=forever isolation=- emits=-"
        );
        Line::parse(&line)
            .unwrap()
            .key()
            .map(|(key, ty)| (key.to_owned(), ty.to_owned()))
    };
    let parts = |key: &str, ty: &str| Some((key.to_owned(), ty.to_owned()));
    assert_eq!(key("event.id:Uuid"), parts("event.id", "Uuid"));
    assert_eq!(
        key("ids::of(event):my::Id"),
        parts("ids::of(event)", "my::Id")
    );
    assert_eq!(key("-"), None);
}

/// A suite that is compiled for each database has its handlers once for each.
#[test]
fn a_file_that_is_compiled_twice_shares_no_scope_with_itself() {
    let twice = [contract(), contract()];
    assert_eq!(duplicates(twice.iter()), []);
    let other = Contract {
        function: "refund",
        ..contract()
    };
    assert_eq!(duplicates([contract(), other].iter()).len(), 1);
}

#[test]
fn a_handler_without_a_key_shares_no_scope() {
    let keyless = Contract {
        key: None,
        line: 30,
        ..contract()
    };
    assert_eq!(duplicates([contract(), keyless].iter()), []);
}

#[test]
fn one_scope_for_two_handlers_names_both_places() {
    let contracts = [
        contract(),
        Contract {
            scope: "payments.refund",
            line: 30,
            ..contract()
        },
        Contract {
            file: "src/other.rs",
            line: 7,
            ..contract()
        },
    ];
    let shared = duplicates(contracts.iter());
    assert_eq!(
        shared,
        [DuplicateScope {
            scope: "payments.apply",
            places: vec!["src/lib.rs:12".into(), "src/other.rs:7".into()],
        }]
    );
    let message = SharedScopes(&shared).to_string();
    assert!(
        message.ends_with("\n  payments.apply: src/lib.rs:12 and src/other.rs:7"),
        "{message}"
    );
}
