//! Times may differ as the clock does.

use super::{compare, differences, none};
use crate::comparison::fixture::{rows, run_at};
use crate::comparison::mask::Mask;

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

/// Where a clock ticks by seconds, or by days, a number or a date near another one is not for that
/// reason a time.
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

/// A subscription that was extended once, and one that was extended twice at once.
#[test]
fn a_masked_time_must_be_one_that_the_clock_gives() {
    let until = |second: u64, day: &str| {
        let rows = rows![[1, format!("2026-{day} 00:00:{second:02}.2")]];
        run_at(second).with("subscriptions", "id key, paid_until time", rows)
    };
    let base = run_at(0).with(
        "subscriptions",
        "id key, paid_until time",
        rows![[1, "2020-01-01"]],
    );
    let clean = [until(1, "01-31"), until(4, "01-31")];
    let mask = Mask::calibrate(&clean, &base).unwrap();
    assert!(mask.hides("subscriptions", "paid_until"));
    assert_eq!(differences(&clean[0], &until(9, "01-31"), &mask), none());
    assert_eq!(compare(&clean[0], &until(9, "03-02"), &mask).len(), 1);
}
