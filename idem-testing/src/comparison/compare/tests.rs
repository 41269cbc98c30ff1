use super::compare;
use crate::comparison::fixture::{rows, run_at};
use crate::comparison::mask::Mask;
use crate::comparison::snapshot::Snapshot;

mod identities;
mod permuted;
mod volatile;

const ORDERS: &str = "id key generated, note";
const LINES: &str = "id key generated, order_id -> orders.id, sku";

/// Two orders with one line each, whose numbers start where `first` says.
fn shop(second: u64, first: i64) -> Snapshot {
    run_at(second)
        .with("orders", ORDERS, rows![[first, "a"], [first + 1, "b"]])
        .with(
            "lines",
            LINES,
            rows![[first * 3, first, "x"], [first * 3 + 1, first + 1, "x"]],
        )
}

fn mask_of(run: impl Fn(u64, i64) -> Snapshot, base: &Snapshot) -> Mask {
    match Mask::calibrate(&[run(1, 1), run(2, 1), run(3, 1000)], base) {
        Ok(mask) => mask,
        Err(unexplained) => panic!("{unexplained:?}"),
    }
}

fn differences(expected: &Snapshot, found: &Snapshot, mask: &Mask) -> Vec<String> {
    let all = compare(expected, found, mask);
    all.iter().map(ToString::to_string).collect()
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_second_effect_is_a_row_too_many() {
    let mask = mask_of(shop, &run_at(0));
    let twice = run_at(9)
        .with("orders", ORDERS, rows![[1, "a"], [2, "b"], [3, "a"]])
        .with("lines", LINES, rows![[3, 1, "x"], [4, 2, "x"]]);
    assert_eq!(
        differences(&shop(1, 1), &twice, &mask),
        [
            "table orders: 3 rows, and should hold 2\n  + id 3, note 'a' (the row should not be there)"
        ]
    );
}

#[test]
fn rows_that_are_equal_are_counted() {
    let run = |second, _| run_at(second).with("log", "text", rows![["x"], ["x"]]);
    let mask = mask_of(run, &run_at(0));
    let thrice = run_at(9).with("log", "text", rows![["x"], ["x"], ["x"]]);
    assert_eq!(
        differences(&run(1, 0), &thrice, &mask),
        ["table log: 3 rows, and should hold 2\n  + text 'x' (the row should not be there)"]
    );
    assert_eq!(differences(&run(1, 0), &run(9, 0), &mask), none());
}

#[test]
fn a_changed_row_is_shown_by_its_key_and_what_should_be_there() {
    let base = run_at(0).with("accounts", "id key, balance", rows![[1, 100], [2, 200]]);
    let run =
        |second, _| run_at(second).with("accounts", "id key, balance", rows![[1, 90], [2, 200]]);
    let mask = mask_of(run, &base);
    let with_balance =
        |balance| run_at(9).with("accounts", "id key, balance", rows![[1, balance], [2, 200]]);
    assert_eq!(
        differences(&run(1, 0), &with_balance(80), &mask),
        ["table accounts\n  ~ id 1: balance is 80, should be 90"]
    );
    // The effect did not happen at all.
    assert_eq!(
        differences(&run(1, 0), &with_balance(100), &mask),
        ["table accounts\n  ~ id 1: balance is 100, should be 90"]
    );
    let gone = run_at(9).with("accounts", "id key, balance", rows![[1, 90]]);
    assert_eq!(
        differences(&run(1, 0), &gone, &mask),
        ["table accounts: 1 row, and should hold 2\n  - id 2, balance 200 (the row is missing)"]
    );
}

#[test]
fn a_row_is_the_one_of_the_same_key_before_it_is_one_that_is_alike() {
    let run = |second, rows| run_at(second).with("t", "id key, a, b, c", rows);
    let mask = mask_of(
        |second, _| run(second, rows![[1, 5, 6, 7], [2, 8, 8, 8]]),
        &run_at(0),
    );
    let clean = run(1, rows![[1, 5, 6, 7], [2, 8, 8, 8]]);
    assert_eq!(
        differences(&clean, &run(9, rows![[1, 8, 8, 9], [2, 5, 6, 9]]), &mask),
        [
            "table t\n  ~ id 1: a is 8, should be 5, b is 8, should be 6, c is 9, should be 7\n  \
             ~ id 2: a is 5, should be 8, b is 6, should be 8, c is 9, should be 8"
        ]
    );
}

/// Half of the columns must be equal, else it is another row.
#[test]
fn a_row_without_a_partner_is_the_one_that_is_most_alike() {
    let run = |second, rows| run_at(second).with("t", "a, b, c, d", rows);
    let mask = mask_of(|second, _| run(second, rows![[1, 2, 3, 4]]), &run_at(0));
    let of = |rows| differences(&run(1, rows![[1, 2, 3, 4]]), &run(9, rows), &mask);
    assert_eq!(
        of(rows![[1, 2, 8, 9]]),
        ["table t\n  ~ a 1, b 2: c is 8, should be 3, d is 9, should be 4"]
    );
    assert_eq!(
        of(rows![[1, 7, 8, 9]]),
        ["table t\n  - a 1, b 2, c 3, d 4 (the row is missing)\n  \
             + a 1, b 7, c 8, d 9 (the row should not be there)"]
    );
    assert_eq!(
        of(rows![[0, 0, 3, 4], [1, 2, 3, 9], [1, 2, 9, 9]]),
        [
            "table t: 3 rows, and should hold 1\n  ~ a 1, b 2, c 3: d is 9, should be 4\n  \
             + a 0, b 0, c 3, d 4 (the row should not be there)\n  \
             + a 1, b 2, c 9, d 9 (the row should not be there)"
        ]
    );
    // Of two that are as much alike the first.
    assert_eq!(
        of(rows![[1, 2, 3, 8], [1, 2, 3, 9]]),
        [
            "table t: 2 rows, and should hold 1\n  ~ a 1, b 2, c 3: d is 8, should be 4\n  \
             + a 1, b 2, c 3, d 9 (the row should not be there)"
        ]
    );
}

#[test]
fn each_value_that_should_be_another_is_told() {
    let run = |second, values: [i64; 3]| {
        run_at(second).with(
            "t",
            "id key, a, b, c",
            rows![[1, values[0], values[1], values[2]]],
        )
    };
    let mask = mask_of(|second, _| run(second, [1, 2, 3]), &run_at(0));
    assert_eq!(
        differences(&run(1, [1, 2, 3]), &run(9, [5, 2, 7]), &mask),
        ["table t\n  ~ id 1: a is 5, should be 1, c is 7, should be 3"]
    );
}

#[test]
fn of_deleted_rows_those_that_the_clean_run_deleted_too_are_no_difference() {
    let left = |second, rows| run_at(second).with("t", "id key", rows);
    let base = left(0, rows![[1], [2], [3], [4]]);
    let mask = mask_of(|second, _| left(second, rows![[1], [3]]), &base);
    let clean = left(1, rows![[1], [3]]);
    let of = |rows| differences(&clean, &left(9, rows), &mask);
    assert_eq!(of(rows![[1], [3]]), none());
    assert_eq!(
        of(rows![[3]]),
        ["table t: 1 row, and should hold 2\n  - id 1 (the row is missing)"]
    );
    assert_eq!(
        of(rows![[1]]),
        ["table t: 1 row, and should hold 2\n  - id 3 (the row is missing)"]
    );
    assert_eq!(
        of(rows![[1], [2], [3]]),
        ["table t: 3 rows, and should hold 2\n  + id 2 (the row should not be there)"]
    );
    assert_eq!(
        of(rows![[1], [3], [4]]),
        ["table t: 3 rows, and should hold 2\n  + id 4 (the row should not be there)"]
    );
}

#[test]
fn a_missing_claim_and_a_missing_event_are_called_so() {
    let run = |second, _| {
        run_at(second)
            .with("idem_keys", "scope key", rows![["s"]])
            .with("app.idem_outbox", "topic", rows![["t"]])
            .with("idem_dead_letters", "topic", rows![["t"]])
    };
    let mask = mask_of(run, &run_at(0));
    let without = run_at(9)
        .with("idem_keys", "scope key", rows![])
        .with("app.idem_outbox", "topic", rows![])
        .with("idem_dead_letters", "topic", rows![]);
    assert_eq!(
        differences(&run(1, 0), &without, &mask),
        [
            "table app.idem_outbox: 0 rows, and should hold 1\n  - topic 't' (the event is missing)",
            "table idem_dead_letters: 0 rows, and should hold 1\n  - topic 't' (the dead letter is missing)",
            "table idem_keys: 0 rows, and should hold 1\n  - scope 's' (the claim is missing)",
        ]
    );
}

#[test]
fn tables_and_columns_that_came_or_went_are_named() {
    let run = |second, _| run_at(second).with("t", "id", rows![[1]]);
    let mask = mask_of(run, &run_at(0));
    let other = run_at(9).with("u", "id", rows![[1]]);
    assert_eq!(
        differences(&run(1, 0), &other, &mask),
        [
            "table t is not there, and should be",
            "table u is there, and should not be",
        ]
    );
    let wider = run_at(9).with("t", "id, note", rows![[1, "x"]]);
    assert_eq!(
        differences(&run(1, 0), &wider, &mask),
        ["table t has the columns (id any, note any), and should have (id any)"]
    );
}

#[test]
fn a_report_is_never_long() {
    let run = |second, _| run_at(second).with("t", "id key, text", rows![[0, "x"]]);
    let mask = mask_of(run, &run_at(0));
    let text = "y".repeat(5_000);
    let rows = (1..1000_i64).map(|id| vec![id.into(), text.as_str().into()]);
    let found = run_at(9).with("t", "id key, text", rows);
    let [report] = &differences(&run(1, 0), &found, &mask)[..] else {
        panic!()
    };
    assert_eq!(report.lines().count(), 22);
    assert!(report.len() < 4000, "{}", report.len());
    assert!(report.ends_with(".. and 980 more"), "{report}");
}
