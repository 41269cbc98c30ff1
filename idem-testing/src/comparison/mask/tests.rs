use super::Mask;
use crate::comparison::fixture::{rows, run_at};
use crate::comparison::snapshot::{Snapshot, Value};

fn lines(clean: &[Snapshot], base: &Snapshot) -> Vec<String> {
    match Mask::calibrate(clean, base) {
        Ok(mask) => mask.lines(),
        Err(unexplained) => panic!("{unexplained:?}"),
    }
}

fn complaints(clean: &[Snapshot], base: &Snapshot) -> Vec<String> {
    match Mask::calibrate(clean, base) {
        Ok(mask) => panic!("{:?}", mask.lines()),
        Err(unexplained) => unexplained.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn what_is_equal_in_all_runs_is_compared_exactly() {
    let run = |second| run_at(second).with("t", "id key generated, note", rows![[7, "a"]]);
    let none = Vec::<String>::new();
    assert_eq!(lines(&[run(1), run(2), run(3)], &run_at(0)), none);
}

#[test]
fn a_column_that_differs_for_no_reason_is_named_with_its_values() {
    let run =
        |second, note: &str| run_at(second).with("accounts", "id key, note", rows![[1, note]]);
    assert_eq!(
        complaints(&[run(1, "a"), run(2, "b"), run(3, "a")], &run_at(0)),
        ["handler is not deterministic: accounts.note differs between two clean runs: 'a' and 'b'"]
    );
}

/// Although each piece of the one is a piece of the other, or may differ by itself.
#[test]
fn values_that_are_built_in_another_way_have_no_reason() {
    let run =
        |second, note: Value| run_at(second).with("t", "id key, note", [vec![1.into(), note]]);
    for (one, other, told) in [
        ("7".into(), "7 late".into(), "'7' and '7 late'"),
        ("7 late".into(), "7".into(), "'7 late' and '7'"),
        (7.into(), "7".into(), "7 and '7'"),
        (Value::Null, 7.into(), "NULL and 7"),
        (
            "2026-01-01 00:00:01".into(),
            "1767225602".into(),
            "'2026-01-01 00:00:01' and '1767225602'",
        ),
    ] {
        assert_eq!(
            complaints(&[run(1, one), run(2, other)], &run_at(0)),
            [format!(
                "handler is not deterministic: t.note differs between two clean runs: {told}"
            )]
        );
    }
}

#[test]
fn a_random_number_has_no_reason() {
    let run = |second, number: i64| run_at(second).with("t", "n", rows![[number]]);
    assert_eq!(
        complaints(&[run(1, 81_235), run(2, 4), run(3, 999)], &run_at(0)),
        ["handler is not deterministic: t.n differs between two clean runs: 81235 and 4"]
    );
}

#[test]
fn identities_and_what_refers_to_them_are_mapped() {
    let run = |second, id: i64, line: i64| {
        run_at(second)
            .with(
                "orders",
                "id key generated, note",
                rows![[id, "a"], [id + 1, "b"]],
            )
            .with(
                "lines",
                "id key generated, order_id -> orders.id, sku",
                rows![[line, id, "x"], [line + 1, id + 1, "x"]],
            )
            // No foreign key says what this refers to.
            .with(
                "log",
                "about, text",
                rows![[id + 1, format!("order {id} came in")]],
            )
    };
    assert_eq!(
        lines(
            &[run(1, 1, 1), run(2, 1, 1), run(3, 1000, 2000)],
            &run_at(0)
        ),
        [
            "lines.id (identity, compared 1:1)",
            "lines.order_id (refers to orders.id, compared 1:1)",
            "log.about (refers to orders.id, compared 1:1)",
            "log.text after `order ` (refers to orders.id, compared 1:1)",
            "orders.id (identity, compared 1:1)",
        ]
    );
}

/// Neither the table nor the name of a column alone makes it the one that the database numbers.
#[test]
fn what_refers_to_its_own_table_or_has_the_same_name_is_no_identity() {
    let run = |second, id: i64| {
        run_at(second)
            .with(
                "nodes",
                "id key generated, parent -> nodes.id",
                rows![[id, id]],
            )
            .with("leaves", "id key -> nodes.id", rows![[id]])
    };
    assert_eq!(
        lines(&[run(1, 1), run(2, 1000)], &run_at(0)),
        [
            "leaves.id (refers to nodes.id, compared 1:1)",
            "nodes.id (identity, compared 1:1)",
            "nodes.parent (refers to nodes.id, compared 1:1)",
        ]
    );
}

#[test]
fn times_move_with_the_clock_whatever_was_added_to_them() {
    let run = |second: i64, at: &str, epoch: i64| {
        let later = epoch + 2_592_000_000_000;
        run_at(second.unsigned_abs()).with(
            "t",
            "id key, at time, micros, expires, json",
            rows![[1, at, epoch, later, format!("{{\"at\":\"{at}\"}}")]],
        )
    };
    let clean = [
        run(1, "2026-01-01 00:00:01.25+00", 1_767_225_601_250_000),
        run(4, "2026-01-01 00:00:04.25+00", 1_767_225_604_250_000),
    ];
    assert_eq!(
        lines(&clean, &run_at(0)),
        [
            "t.at (time)",
            "t.expires (time)",
            "t.json after `at` (time)",
            "t.micros (time)",
        ]
    );
}

#[test]
fn a_time_that_is_not_of_the_run_is_not_the_clocks() {
    let run = |second, at: &str| run_at(second).with("t", "id key, at time", rows![[1, at]]);
    let clean = [run(1, "2020-05-01 10:00:00"), run(2, "2021-05-01 10:00:00")];
    assert_eq!(
        complaints(&clean, &run_at(0)),
        [
            "handler is not deterministic: t.at differs between two clean runs: '2020-05-01 10:00:00' and '2021-05-01 10:00:00'"
        ]
    );
}

#[test]
fn uuids_are_known_in_text_json_and_bytes() {
    let run = |second, first: &str| {
        let uuid = format!("{first}a5d-ac96-774b-bcce-b302099a8057");
        let bytes = hex::decode(uuid.replace('-', "")).unwrap();
        run_at(second).with(
            "t",
            "uuid, json, bytes",
            rows![[
                uuid.as_str(),
                format!("[{{\"of\": \"{uuid}\"}}]"),
                &bytes[..]
            ]],
        )
    };
    assert_eq!(
        lines(&[run(1, "01890"), run(2, "0189f")], &run_at(0)),
        [
            "t.bytes (UUID, compared 1:1)",
            "t.json after `of` (UUID, compared 1:1)",
            "t.uuid (UUID, compared 1:1)",
        ]
    );
}

#[test]
fn transactions_and_traces_are_not_compared() {
    let run = |second, xid: i64, span: &str| {
        let headers = format!(
            "{{\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e{span}-00f067aa0ba902b7-01\"}}"
        );
        run_at(second).with("t", "xid transaction, headers", rows![[xid, headers]])
    };
    assert_eq!(
        lines(&[run(1, 700, "4736"), run(2, 812, "ffff")], &run_at(0)),
        [
            "t.headers after `traceparent` (trace)",
            "t.xid (transaction)"
        ]
    );
}

#[test]
fn rows_that_come_and_go_between_clean_runs_are_reported() {
    let base = run_at(0).with("t", "id key", rows![[1], [2]]);
    let run = |second, rows| run_at(second).with("t", "id key", rows);
    assert_eq!(
        complaints(
            &[run(1, rows![[1], [2], [3]]), run(2, rows![[1], [2]])],
            &base
        ),
        ["handler is not deterministic: two clean runs wrote 1 and 0 rows of t"]
    );
    assert_eq!(
        complaints(&[run(1, rows![[1]]), run(2, rows![[2]])], &base),
        ["handler is not deterministic: two clean runs changed or deleted different rows of t"]
    );
}

#[test]
fn a_table_with_other_columns_is_reported() {
    assert_eq!(
        complaints(
            &[
                run_at(1).with("t", "id", rows![]),
                run_at(2).with("t", "id, note", rows![])
            ],
            &run_at(0)
        ),
        ["handler is not deterministic: two clean runs left t with other columns"]
    );
}

/// Only what a run wrote may differ: a value in a row of before is the same in each run anyway.
#[test]
fn rows_of_before_do_not_say_what_may_differ() {
    let old = rows![[1, "2020-01-01 00:00:00"]];
    let base = run_at(0).with("t", "id key, at time", old.clone());
    let run = |second| run_at(second).with("t", "id key, at time", old.clone());
    assert_eq!(lines(&[run(1), run(2)], &base), Vec::<String>::new());
}

/// Random identifiers put the rows in another order in each run.
#[test]
fn rows_are_matched_whatever_order_they_come_in() {
    let run = |second, first: i64, other: i64| {
        let uuid = |n: i64| format!("01890a5d-ac96-774b-bcce-b302099a{n:04}");
        run_at(second).with(
            "t",
            "id key, note",
            rows![[uuid(first), "a"], [uuid(other), "b"]],
        )
    };
    assert_eq!(
        lines(&[run(1, 1, 2), run(2, 9, 4)], &run_at(0)),
        ["t.id (UUID, compared 1:1)"]
    );
}

/// The numbers say it only where nothing else does.
#[test]
fn what_is_equal_in_each_run_says_which_row_is_which() {
    let run = |second, first: i64, other: i64| {
        run_at(second).with(
            "t",
            "id key generated, note, n",
            rows![[first, "x", 7], [other, "x", 9]],
        )
    };
    assert_eq!(
        lines(&[run(1, 1, 2), run(2, 1001, 1000)], &run_at(0)),
        ["t.id (identity, compared 1:1)"]
    );
}

#[test]
fn the_text_around_what_differs_says_which_row_is_which() {
    let run = |second, ordered: i64, paid: i64| {
        let uuid = |n: i64| format!("01890a5d-ac96-774b-bcce-b302099a{n:04}");
        let texts = [
            format!("{} ordered", uuid(ordered)),
            format!("{} paid", uuid(paid)),
        ];
        run_at(second).with("log", "text", texts.map(|text| vec![text.into()]))
    };
    assert_eq!(
        lines(&[run(1, 1, 2), run(2, 9, 4)], &run_at(0)),
        ["log.text (UUID, compared 1:1)"]
    );
}

/// In the order of the numbers, not of their digits, and whatever the times are.
#[test]
fn rows_that_are_alike_are_matched_in_the_order_in_which_they_were_numbered() {
    let run = |second, first: i64, tenths: [i64; 2]| {
        let at = |tenth: i64| format!("2026-01-01 00:00:0{second}.{tenth}");
        run_at(second)
            .with(
                "orders",
                "id key generated, note",
                rows![[first, "a"], [first + 1, "b"]],
            )
            .with(
                "lines",
                "at time, of, id key generated",
                rows![
                    [at(tenths[0]), first + 1, first * 11],
                    [at(tenths[1]), first, first * 11 + 1]
                ],
            )
    };
    assert_eq!(
        lines(&[run(1, 9, [1, 2]), run(2, 1000, [2, 1])], &run_at(0)),
        [
            "lines.at (time)",
            "lines.id (identity, compared 1:1)",
            "lines.of (refers to orders.id, compared 1:1)",
            "orders.id (identity, compared 1:1)",
        ]
    );
}

#[test]
fn rows_that_are_alike_and_have_no_number_are_matched_in_the_order_of_their_times() {
    let run = |second, ids: [i64; 2]| {
        let uuid = |n: i64| format!("01890a5d-ac96-774b-bcce-b302099a{n:04}");
        let on = |day| format!("2026-02-{day} 00:00:0{second}.5");
        run_at(second).with(
            "reminders",
            "id key, due time",
            rows![[uuid(ids[0]), on("03")], [uuid(ids[1]), on("28")]],
        )
    };
    assert_eq!(
        lines(&[run(1, [1, 2]), run(2, [9, 4])], &run_at(0)),
        ["reminders.due (time)", "reminders.id (UUID, compared 1:1)"]
    );
}

#[test]
fn a_foreign_key_says_which_of_two_equal_numbers_is_meant() {
    let run = |second, id: i64| {
        run_at(second)
            .with("a", "id key generated", rows![[id]])
            .with("b", "id key generated", rows![[id]])
            .with("of_b", "b_id -> b.id", rows![[id]])
            .with("of_it", "b_id -> of_b.b_id", rows![[id]])
    };
    assert_eq!(
        lines(&[run(1, 1), run(2, 1000)], &run_at(0)),
        [
            "a.id (identity, compared 1:1)",
            "b.id (identity, compared 1:1)",
            "of_b.b_id (refers to b.id, compared 1:1)",
            "of_it.b_id (refers to b.id, compared 1:1)",
        ]
    );
}
