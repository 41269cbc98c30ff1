//! Identities and UUIDs may differ, but must connect the same rows.

use super::{LINES, ORDERS, compare, differences, mask_of, none, shop};
use crate::comparison::fixture::{rows, run_at};
use crate::comparison::mask::Mask;
use crate::comparison::snapshot::Value;

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
        let number = |n| crate::comparison::snapshot::Value::Number(id(n));
        let rows = vec![
            vec![number(0), crate::comparison::snapshot::Value::Null],
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
