use super::compare;
use crate::testing::fixture::{rows, run_at};
use crate::testing::{Mask, Snapshot, Value};

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
fn other_identities_for_the_same_rows_are_no_difference() {
    let mask = mask_of(shop, &run_at(0));
    for first in [1, 2, 5, 70_000] {
        assert_eq!(differences(&shop(1, 1), &shop(9, first), &mask), none());
    }
    // The gap of a delivery that was rolled back in between.
    let gap = run_at(9)
        .with("orders", ORDERS, rows![[3, "b"], [9, "a"]])
        .with("lines", LINES, rows![[8, 9, "x"], [4, 3, "x"]]);
    assert_eq!(differences(&shop(1, 1), &gap, &mask), none());
}

#[test]
fn a_reference_to_another_row_is_a_difference() {
    let mask = mask_of(shop, &run_at(0));
    let both_of_one = run_at(9)
        .with("orders", ORDERS, rows![[5, "a"], [6, "b"]])
        .with("lines", LINES, rows![[1, 5, "x"], [2, 5, "x"]]);
    let found = differences(&shop(1, 1), &both_of_one, &mask);
    assert!(!found.is_empty());
    assert!(
        found
            .iter()
            .any(|one| one.contains("order_id is 5, which connects other rows by orders.id")),
        "{found:#?}"
    );
}

#[test]
fn references_that_are_swapped_are_a_difference() {
    let run = |second, first: i64| {
        run_at(second)
            .with("orders", ORDERS, rows![[first, "a"], [first + 1, "b"]])
            .with(
                "lines",
                LINES,
                rows![[first + 9, first, "x"], [first + 10, first + 1, "y"]],
            )
    };
    let mask = mask_of(run, &run_at(0));
    let swapped = run_at(9)
        .with("orders", ORDERS, rows![[1, "a"], [2, "b"]])
        .with("lines", LINES, rows![[10, 2, "x"], [11, 1, "y"]]);
    assert_eq!(compare(&run(1, 1), &swapped, &mask).len(), 2);
}

#[test]
fn an_identity_that_no_row_has_is_a_difference() {
    let run = |second, id: i64| {
        run_at(second)
            .with("orders", ORDERS, rows![[id, "a"]])
            .with("log", "text", rows![[format!("order {id}")]])
    };
    let mask = mask_of(run, &run_at(0));
    let dangling =
        run_at(9)
            .with("orders", ORDERS, rows![[5, "a"]])
            .with("log", "text", rows![["order 4"]]);
    assert_eq!(
        differences(&run(1, 1), &dangling, &mask),
        [
            "table log\n  - text 'order 1' (the row is missing)\n  + text 'order 4' (the row should not be there)"
        ]
    );
    assert_eq!(differences(&run(1, 1), &run(9, 4), &mask), none());
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
fn a_time_may_be_another_but_not_be_missing() {
    let run =
        |second, at: Option<&str>| run_at(second).with("t", "id key, at time", rows![[1, at]]);
    let clean = [
        run(1, Some("2026-01-01 00:00:01.1")),
        run(2, Some("2026-01-01 00:00:02.2")),
    ];
    let mask = Mask::calibrate(&clean, &run_at(0)).unwrap();
    assert_eq!(
        differences(&clean[0], &run(9, Some("2026-01-01 00:00:09.3")), &mask),
        none()
    );
    assert_eq!(
        differences(&clean[0], &run(9, None), &mask),
        ["table t\n  ~ id 1: at is NULL, should be '2026-01-01 00:00:01.1'"]
    );
}

/// Clean runs of one second show no difference in a column that holds whole seconds.
#[test]
fn a_clock_that_ticked_after_the_clean_runs_is_no_difference() {
    let run = |second, at: &str, epoch: i64| {
        run_at(second).with("t", "id key, at time, epoch", rows![[1, at, epoch]])
    };
    let clean = [
        run(1, "2026-01-01 00:00:01", 1_767_225_601),
        run(1, "2026-01-01 00:00:01", 1_767_225_601),
    ];
    let mask = Mask::calibrate(&clean, &run_at(0)).unwrap();
    assert_eq!(mask.lines(), none());
    let later = run(9, "2026-01-01 00:00:09", 1_767_225_609);
    assert_eq!(differences(&clean[0], &later, &mask), none());
    // By another time than has passed.
    let wrong = run(9, "2026-01-01 00:00:44", 1_767_225_601);
    assert_eq!(
        differences(&clean[0], &wrong, &mask),
        ["table t\n  ~ id 1: at is '2026-01-01 00:00:44', should be '2026-01-01 00:00:01'"]
    );
}

#[test]
fn a_row_of_before_is_compared_exactly_although_its_column_is_masked() {
    let old = [1_i64, 2];
    let table = |second: u64, id: i64, at: &str, old_at: [&str; 2]| {
        run_at(second).with(
            "t",
            "id key generated, at time",
            rows![[old[0], old_at[0]], [old[1], old_at[1]], [id, at]],
        )
    };
    let before = ["2020-01-01 00:00:00", "2021-01-01 00:00:00"];
    let base = run_at(0).with(
        "t",
        "id key generated, at time",
        rows![[old[0], before[0]], [old[1], before[1]]],
    );
    let clean = [
        table(1, 3, "2026-01-01 00:00:01.1", before),
        table(2, 300, "2026-01-01 00:00:02.1", before),
    ];
    let mask = Mask::calibrate(&clean, &base).unwrap();
    assert_eq!(mask.lines().len(), 2);
    let good = table(9, 8, "2026-01-01 00:00:09.1", before);
    assert_eq!(differences(&clean[0], &good, &mask), none());
    let touched = table(
        9,
        8,
        "2026-01-01 00:00:09.1",
        ["2026-01-01 00:00:09.1", before[1]],
    );
    assert_eq!(
        differences(&clean[0], &touched, &mask),
        ["table t\n  ~ id 1: at is '2026-01-01 00:00:09.1', should be '2020-01-01 00:00:00'"]
    );
}

#[test]
fn references_to_rows_of_before_are_compared_exactly() {
    let base = run_at(0).with("orders", ORDERS, rows![[1, "old"], [2, "old"]]);
    let run = |second, id: i64, of: i64| {
        run_at(second)
            .with("orders", ORDERS, rows![[1, "old"], [2, "old"], [id, "new"]])
            .with("lines", LINES, rows![[id + 7, id, "x"], [id + 8, of, "y"]])
    };
    let clean = [run(1, 3, 1), run(2, 3, 1), run(3, 900, 1)];
    let mask = Mask::calibrate(&clean, &base).unwrap();
    assert_eq!(differences(&clean[0], &run(9, 5, 1), &mask), none());
    let other = differences(&clean[0], &run(9, 5, 2), &mask);
    assert_eq!(
        other,
        ["table lines\n  ~ id 13: order_id is 2, should be 1"].map(String::from),
    );
}

#[test]
fn one_uuid_stays_one_wherever_it_stands() {
    let uuid = |n: i64| format!("01890a5d-ac96-774b-bcce-b302099a{n:04}");
    let run = |second, own: i64, in_text: i64| {
        let bytes = hex::decode(uuid(own).replace('-', "")).unwrap();
        run_at(second)
            .with("t", "id key", rows![[&bytes[..]]])
            .with(
                "log",
                "json",
                rows![[format!("{{\"of\":\"{}\"}}", uuid(in_text))]],
            )
    };
    let clean = [run(1, 1, 1), run(2, 2, 2)];
    let mask = Mask::calibrate(&clean, &run_at(0)).unwrap();
    assert_eq!(differences(&clean[0], &run(9, 3, 3), &mask), none());
    assert!(!differences(&clean[0], &run(9, 3, 4), &mask).is_empty());
}

/// One column holds UUIDs that the handler made up, of the delivery, and of rows of before.
#[test]
fn a_uuid_that_was_there_or_came_with_the_delivery_is_compared_exactly() {
    let uuid = |n: i64| format!("01890a5d-ac96-774b-bcce-b302099a{n:04}");
    let base = run_at(0).with("customers", "id key", rows![[uuid(100)], [uuid(101)]]);
    let run = |second, own: i64, delivery: i64, customer: i64| {
        run_at(second)
            .with("customers", "id key", rows![[uuid(100)], [uuid(101)]])
            .with(
                "refs",
                "what key, id",
                rows![
                    ["own", uuid(own)],
                    ["delivery", uuid(delivery)],
                    ["customer", uuid(customer)]
                ],
            )
    };
    let clean = [run(1, 1, 50, 100), run(2, 2, 50, 100)];
    let mask = Mask::calibrate(&clean, &base).unwrap();
    assert_eq!(differences(&clean[0], &run(9, 3, 50, 100), &mask), none());
    for wrong in [run(9, 3, 51, 100), run(9, 3, 50, 101)] {
        assert_eq!(compare(&clean[0], &wrong, &mask).len(), 1);
    }
}

/// Where a clock ticks by seconds, or by days, a number or a date near another one is not for that reason a time.
#[test]
fn numbers_and_dates_that_are_near_are_no_ticks() {
    let run = |second, amount: i64, due: &str| {
        run_at(second).with("t", "id key, amount, due", rows![[1, amount, due]])
    };
    let clean = run(1, 1_700_000_000, "2026-01-01");
    let mask = Mask::calibrate(&[clean.clone(), clean.clone()], &run_at(0)).unwrap();
    for wrong in [
        run(9, 1_700_000_008, "2026-01-01"),
        run(9, 1_700_000_000, "2026-01-02"),
    ] {
        assert_eq!(compare(&clean, &wrong, &mask).len(), 1, "{wrong:?}");
    }
    // Midnight passed.
    let next_day = run(86_400, 1_700_000_000, "2026-01-02");
    assert_eq!(differences(&clean, &next_day, &mask), none());
}

#[test]
fn composite_keys_are_mapped_column_by_column() {
    let columns = "order_id key -> orders.id, place key, sku";
    let run = |second, id: i64| {
        run_at(second)
            .with("orders", ORDERS, rows![[id, "a"], [id + 1, "b"]])
            .with(
                "lines",
                columns,
                rows![[id, 1, "x"], [id, 2, "y"], [id + 1, 1, "y"]],
            )
    };
    let mask = mask_of(run, &run_at(0));
    assert_eq!(differences(&run(1, 1), &run(9, 44), &mask), none());
    let moved = run_at(9)
        .with("orders", ORDERS, rows![[5, "a"], [6, "b"]])
        .with(
            "lines",
            columns,
            rows![[5, 1, "x"], [6, 2, "y"], [6, 1, "y"]],
        );
    assert!(!differences(&run(1, 1), &moved, &mask).is_empty());
}

#[test]
fn rows_that_refer_to_their_own_table_are_followed() {
    let columns = "id key generated, parent -> nodes.id";
    let chain = |second, id: i64| {
        let id = |n: i64| (id + n).to_string();
        let number = |n| crate::testing::Value::Number(id(n));
        let rows = vec![
            vec![number(0), crate::testing::Value::Null],
            vec![number(1), number(0)],
            vec![number(2), number(1)],
        ];
        run_at(second).with("nodes", columns, rows)
    };
    let mask = mask_of(chain, &run_at(0));
    assert_eq!(differences(&chain(1, 1), &chain(9, 50), &mask), none());
    let star = run_at(9).with(
        "nodes",
        columns,
        rows![[1, None::<&str>]]
            .into_iter()
            .chain(rows![[2, 1], [3, 1]]),
    );
    assert!(!differences(&chain(1, 1), &star, &mask).is_empty());
}

/// Colours alone can't tell one ring of six from two of three.
#[test]
fn rings_are_told_apart() {
    let columns = "id key generated, next -> ring.id";
    let ring = |second, first: i64, next: [i64; 6]| {
        let rows = (0..6_i64).zip(next);
        run_at(second).with(
            "ring",
            columns,
            rows.map(|(id, next)| vec![(first + id).into(), (first + next).into()]),
        )
    };
    let one = [1, 2, 3, 4, 5, 0];
    let two = [1, 2, 0, 4, 5, 3];
    let mask = mask_of(|second, first| ring(second, first, one), &run_at(0));
    assert_eq!(
        differences(&ring(1, 1, one), &ring(9, 7, one), &mask),
        none()
    );
    assert_eq!(
        differences(&ring(1, 1, one), &ring(9, 1, [5, 0, 1, 2, 3, 4]), &mask),
        none()
    );
    assert!(!differences(&ring(1, 1, one), &ring(9, 7, two), &mask).is_empty());
}

/// Each identifier has the neighbours that it should have: only which two a row connects is wrong.
#[test]
fn partners_that_are_swapped_in_a_table_of_pairs_are_a_difference() {
    let run = |second, first: i64, partners: [i64; 2]| {
        let pair = |id: i64, one: i64, other: i64| -> Vec<Value> {
            vec![
                (first + id).into(),
                (first + one).into(),
                (first + other).into(),
            ]
        };
        run_at(second)
            .with("authors", ORDERS, rows![[first, "a"], [first + 1, "b"]])
            .with("books", ORDERS, rows![[first, "c"], [first + 1, "d"]])
            .with(
                "wrote",
                "id key generated, author -> authors.id, book -> books.id",
                [pair(0, 0, partners[0]), pair(1, 1, partners[1])],
            )
    };
    let mask = mask_of(|second, first| run(second, first, [0, 1]), &run_at(0));
    let clean = run(1, 1, [0, 1]);
    assert_eq!(differences(&clean, &run(9, 5, [0, 1]), &mask), none());
    assert!(!differences(&clean, &run(9, 5, [1, 0]), &mask).is_empty());
}

/// Rows that nothing refers to need not be told apart, however many are alike.
#[test]
fn rings_are_told_apart_among_many_rows_that_are_alike() {
    let run = |second, first: i64, next: [i64; 6]| {
        let ring = (0..6_i64).zip(next);
        let ring = ring.map(|(id, next)| vec![(first + id).into(), (first + next).into()]);
        let run = run_at(second).with("ring", "id key generated, next -> ring.id", ring);
        (0..8).fold(run, |run, log| {
            let alike = (0..30_i64).map(|id| vec![(first + id).into(), "x".into()]);
            run.with(&format!("log_{log}"), ORDERS, alike)
        })
    };
    let one = [1, 2, 3, 4, 5, 0];
    let two = [1, 2, 0, 4, 5, 3];
    let mask = mask_of(|second, first| run(second, first, one), &run_at(0));
    assert_eq!(differences(&run(1, 1, one), &run(9, 7, one), &mask), none());
    assert!(!differences(&run(1, 1, one), &run(9, 7, two), &mask).is_empty());
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

mod permuted {
    //! Numbers that are exchanged one for one are never a difference; those that are not always are one.

    use rand::rngs::StdRng;
    use rand::seq::SliceRandom as _;
    use rand::{Rng as _, SeedableRng as _};

    use super::{ORDERS, compare, mask_of};
    use crate::testing::fixture::run_at;
    use crate::testing::{Snapshot, Value};

    /// Which order each line is of. Each order has a note of its own, so that no two can be exchanged.
    fn shop(second: u64, orders: &[i64], lines: &[usize], ids: &[i64]) -> Snapshot {
        let named = |(place, id): (usize, &i64)| {
            vec![(*id).into(), format!("order {}", name(place)).into()]
        };
        let line = |(id, of): (&i64, &usize)| -> Vec<Value> {
            vec![(*id).into(), orders[*of].into(), "x".into()]
        };
        run_at(second)
            .with("orders", ORDERS, orders.iter().enumerate().map(named))
            .with("lines", super::LINES, ids.iter().zip(lines).map(line))
    }

    /// Letters, as numbers would be looked for among the identifiers.
    fn name(place: usize) -> char {
        char::from(b'a' + u8::try_from(place).unwrap())
    }

    #[test]
    fn consistently_never_and_inconsistently_always() {
        let mut random = StdRng::seed_from_u64(7);
        for round in 0..300 {
            let count = random.random_range(2..9_usize);
            let lines: Vec<usize> = (0..random.random_range(1..12))
                .map(|_| random.random_range(0..count))
                .collect();
            let ids = |from: i64, count: usize| -> Vec<i64> { (from..).take(count).collect() };
            let run = |second, first: i64| {
                shop(
                    second,
                    &ids(first, count),
                    &lines,
                    &ids(first * 50 + 7, lines.len()),
                )
            };
            let mask = mask_of(run, &run_at(0));
            let clean = run(1, 1);

            let mut orders: Vec<i64> = ids(1, 40);
            orders.shuffle(&mut random);
            let mut numbers: Vec<i64> = ids(1, 40);
            numbers.shuffle(&mut random);
            let permuted = shop(9, &orders[..count], &lines, &numbers[..lines.len()]);
            assert!(
                compare(&clean, &permuted, &mask).is_empty(),
                "round {round}"
            );

            let mut moved = lines.clone();
            let line = random.random_range(0..moved.len());
            moved[line] = (moved[line] + random.random_range(1..count)) % count;
            let found = shop(9, &orders[..count], &moved, &numbers[..lines.len()]);
            assert!(!compare(&clean, &found, &mask).is_empty(), "round {round}");
        }
    }
}
