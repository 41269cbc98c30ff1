use super::*;

const LOCKED: &str = "payments.apply key=event.id:Uuid fingerprint=- duplicate=replay:Receipt@1 error=rollback retention=90d isolation=- emits=ledger.posted type=Posted ordering_key=account";

/// What the one change of `from` into `to` in a line says.
fn change_of(from: &str, to: &str) -> (String, String) {
    assert!(LOCKED.contains(from), "{from}");
    between(LOCKED, &LOCKED.replace(from, to))
}

fn between(old: &str, new: &str) -> (String, String) {
    let (old, new) = (Line::parse(old).unwrap(), Line::parse(new).unwrap());
    let changes = changes(&old, &new);
    let [Change { what, so }] = &changes[..] else {
        panic!("not one change: {changes:?}");
    };
    (what.clone(), so.clone())
}

#[track_caller]
fn assert_says((what, so): &(String, String), expected_what: &str, expected_so: &str) {
    assert_eq!(what, expected_what);
    assert!(so.contains(expected_so), "{so}");
}

#[test]
fn a_handler_that_gets_a_key_has_no_earlier_results() {
    let old = "users.register key=- fingerprint=- duplicate=- error=rollback retention=- isolation=- emits=-";
    let new = old.replace("duplicate=-", "duplicate=replay:User@1");
    assert_says(
        &between(old, &new),
        "on_duplicate: was `-`, is `replay:User@1`",
        "no result of an earlier delivery",
    );
}

#[test]
fn the_same_line_is_no_change() {
    let line = Line::parse(LOCKED).unwrap();
    assert_eq!(changes(&line, &line), []);
}

#[test]
fn a_renamed_scope_forgets_its_keys_and_the_pin_is_named() {
    assert_says(
        &change_of("payments.apply", "payments.credit"),
        "scope renamed: was `payments.apply`",
        "already handled would run again. Pin the old one: `scope = \"payments.apply\"`",
    );
}

#[test]
fn a_renamed_scope_without_a_key_forgets_nothing() {
    assert_says(
        &between(
            "users.register key=- fingerprint=- duplicate=- error=rollback retention=- isolation=- emits=users.registered type=Registered ordering_key=-",
            "users.add key=- fingerprint=- duplicate=- error=rollback retention=- isolation=- emits=users.registered type=Registered ordering_key=-",
        ),
        "scope renamed: was `users.register`",
        "It keeps no keys",
    );
}

#[test]
fn a_removed_handler_names_the_pin_the_topics_and_the_linker() {
    let Change { what, so } = removed(&Line::parse(LOCKED).unwrap());
    assert_eq!(what, "no handler has this scope any more");
    for part in [
        "It no longer publishes `ledger.posted`",
        "`scope = \"payments.apply\"`",
        "not linked into this test's binary",
    ] {
        assert!(so.contains(part), "{so}");
    }
}

#[test]
fn an_added_handler_remembers_nothing() {
    let Change { what, so } = added(&Line::parse(LOCKED).unwrap());
    assert_eq!(what, "a new handler");
    assert!(so.contains("remembers nothing"), "{so}");
}

#[test]
fn a_changed_key_expression_runs_messages_again() {
    assert_says(
        &change_of("event.id", "event.reference"),
        "key: was `event.id` (`Uuid`), is `event.reference` (`Uuid`)",
        "already handled would run again, unless both expressions have the same value",
    );
}

#[test]
fn a_changed_key_expression_of_a_type_stored_otherwise_finds_no_key() {
    assert_says(
        &change_of("event.id:Uuid", "event.hash():ContentHash"),
        "key: was `event.id` (`Uuid`), is `event.hash()` (`ContentHash`)",
        "No stored key is found again",
    );
}

#[test]
fn a_changed_key_type_says_whether_stored_keys_stay_valid() {
    let says = |old: &str, new: &str| {
        let line = |of: &str| LOCKED.replace("Uuid", of);
        between(&line(old), &line(new))
    };
    assert_says(
        &says("i32", "i64"),
        "key type: `event.id` was `i32`, is `i64`",
        "Stored keys stay valid",
    );
    assert_says(
        &says("String", "Uuid"),
        "key type: `event.id` was `String`, is `Uuid`",
        "stay valid where the text is canonical",
    );
    assert_says(
        &says("String", "bytes"),
        "key type: `event.id` was `String`, is `bytes`",
        "No stored key is found again",
    );
    assert_says(
        &says("OrderId", "Uuid"),
        "key type: `event.id` was `OrderId`, is `Uuid`",
        "unless both types write the same value in the same way",
    );
}

#[test]
fn a_key_that_comes_or_goes_is_said() {
    let keyless = LOCKED.replace("event.id:Uuid", "-");
    assert_says(
        &between(&keyless, LOCKED),
        "key: was none, is `event.id:Uuid`",
        "they would run once more",
    );
    assert_says(
        &between(LOCKED, &keyless),
        "key: was `event.id:Uuid`, now there is none",
        "Every redelivery would run again",
    );
}

#[test]
fn a_changed_fingerprint_says_what_becomes_of_messages_already_handled() {
    assert_says(
        &change_of("fingerprint=-", "fingerprint=event.amount"),
        "fingerprint: was `-`, is `event.amount`",
        "Keys stored before hold no fingerprint",
    );
    let with = LOCKED.replace("fingerprint=-", "fingerprint=event.amount");
    assert_says(
        &between(&with, LOCKED),
        "fingerprint: was `event.amount`, is `-`",
        "no longer noticed",
    );
    assert_says(
        &between(&with, &with.replace("event.amount", "event.total")),
        "fingerprint: was `event.amount`, is `event.total`",
        "`FingerprintMismatch`",
    );
}

#[test]
fn a_changed_output_asks_for_the_next_result_version() {
    assert_says(
        &change_of("Receipt@1", "Confirmation@1"),
        "output: was `Receipt`, is `Confirmation`, both as result_version 1",
        "Say `result_version = 2`",
    );
}

#[test]
fn a_changed_output_with_a_new_result_version_may_be_accepted() {
    assert_says(
        &change_of("Receipt@1", "Confirmation@2"),
        "output: was `Receipt` as result_version 1, is `Confirmation` as 2",
        "Accept",
    );
}

#[test]
fn a_result_version_alone_makes_stored_results_unreadable() {
    assert_says(
        &change_of("Receipt@1", "Receipt@2"),
        "result_version: was 1, is 2",
        "`ResultUndecodable`, a dead letter, and never runs again. Accept if the shape of `Receipt` changed",
    );
    assert_says(
        &between(&LOCKED.replace("@1", "@3"), &LOCKED.replace("@1", "@2")),
        "result_version: was 3, is 2",
        "stands for another shape",
    );
}

#[test]
fn a_changed_duplicate_mode_says_what_a_duplicate_gets() {
    assert_says(
        &change_of("replay:Receipt@1", "skip"),
        "on_duplicate: was `replay:Receipt@1`, is `skip`",
        "A duplicate gets no result any more",
    );
    assert_says(
        &between(&LOCKED.replace("replay:Receipt@1", "skip"), LOCKED),
        "on_duplicate: was `skip`, is `replay:Receipt@1`",
        "`ResultUndecodable`",
    );
}

#[test]
fn a_changed_error_mode_says_what_becomes_of_permanent_errors() {
    assert_says(
        &change_of("rollback", "record"),
        "on_error: was `rollback`, is `record`",
        "A permanent error is stored from now on",
    );
    assert_says(
        &between(&LOCKED.replace("rollback", "record"), LOCKED),
        "on_error: was `record`, is `rollback`",
        "Errors stored before can't be read",
    );
}

#[test]
fn a_shorter_retention_runs_late_redeliveries_again() {
    for (old, new) in [
        ("90d", "30d"),
        ("90d", "2159h"),
        ("forever", "90d"),
        ("1s", "999ms"),
    ] {
        assert_says(
            &between(&LOCKED.replace("90d", old), &LOCKED.replace("90d", new)),
            &format!("retention: was {old}, is {new}"),
            &format!("more than {new} after it was handled would run again"),
        );
    }
}

#[test]
fn a_longer_retention_keeps_more_rows() {
    for (old, new) in [("30d", "90d"), ("90d", "forever"), ("59m", "1h")] {
        assert_says(
            &between(&LOCKED.replace("90d", old), &LOCKED.replace("90d", new)),
            &format!("retention: was {old}, is {new}"),
            "Lengthened",
        );
    }
}

#[test]
fn the_same_retention_in_other_words_is_said_to_be() {
    assert_says(
        &change_of("90d", "2160h"),
        "retention: was 90d, is 2160h",
        "The same time in other words",
    );
}

#[test]
fn a_weaker_isolation_says_what_may_commit_and_a_stronger_one_what_is_aborted() {
    let says = |old: &str, new: &str| {
        let line = |level: &str| LOCKED.replace("isolation=-", &format!("isolation={level}"));
        between(&line(old), &line(new))
    };
    assert_says(
        &says("serializable", "-"),
        "isolation: was `serializable`, is `-`",
        "default level",
    );
    assert_says(
        &says("serializable", "repeatable␣read"),
        "isolation: was `serializable`, is `repeatable␣read`",
        "may both commit",
    );
    for weaker in ["-", "repeatable␣read"] {
        assert_says(
            &says(weaker, "serializable"),
            &format!("isolation: was `{weaker}`, is `serializable`"),
            "aborted and run again",
        );
    }
}

#[test]
fn a_changed_topic_leaves_its_consumers_behind() {
    assert_says(
        &change_of("ledger.posted", "ledger.booked"),
        "topic: was `ledger.posted`, is `ledger.booked`",
        "Consumers of `ledger.posted` get nothing more",
    );
}

#[test]
fn several_changes_of_one_handler_are_all_said() {
    let new = LOCKED.replace("90d", "30d").replace("Uuid", "String");
    let changes = changes(&Line::parse(LOCKED).unwrap(), &Line::parse(&new).unwrap());
    let what: Vec<&str> = changes.iter().map(|change| &*change.what).collect();
    assert_eq!(
        what,
        [
            "key type: `event.id` was `Uuid`, is `String`",
            "retention: was 90d, is 30d"
        ]
    );
}

#[test]
fn a_handler_of_many_events_finds_what_one_of_one_event_stored() {
    let batch = format!("{LOCKED} batch");
    let kept = "Stored keys and results stay valid, for the old code as for the new one";
    let many = between(LOCKED, &batch);
    assert_says(&many, "batch: took one event, takes many", kept);
    assert!(many.1.contains("a consumer tries each half of it again"));
    assert_says(
        &between(&batch, LOCKED),
        "batch: took many events, takes one",
        kept,
    );
}
