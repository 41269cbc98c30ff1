use std::time::Duration;

use super::*;

fn timestamp(text: &str) -> Timestamp {
    let timestamp = Timestamp::at_start_of(text).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(timestamp.text, text);
    timestamp
}

fn window(from: u64, to: u64) -> Window {
    Window {
        from: UNIX_EPOCH + Duration::from_millis(from),
        to: UNIX_EPOCH + Duration::from_millis(to),
    }
}

#[test]
fn the_ways_to_write_a_time_agree() {
    let micros = 1_795_713_041_500_000;
    for text in [
        "2026-11-26 17:10:41.5+00",
        "2026-11-26T17:10:41.500Z",
        "2026-11-26T18:40:41.500000+01:30",
        "2026-11-26 15:10:41.5-0200",
        "2026-11-26 17:10:41.500000",
    ] {
        assert_eq!(timestamp(text).micros, micros, "{text}");
    }
    assert_eq!(
        Timestamp::from_number("1795713041.5").unwrap().micros,
        micros
    );
    assert_eq!(
        Timestamp::from_number("1795713041500").unwrap().micros,
        micros
    );
    assert_eq!(
        Timestamp::from_number("1795713041500000").unwrap().micros,
        micros
    );
    assert_eq!(
        Timestamp::from_number("1795713041500000999")
            .unwrap()
            .micros,
        micros
    );
}

#[test]
fn days_are_counted_by_the_gregorian_calendar() {
    for (date, days) in [
        ("1900-03-01", -25_508),
        ("1969-12-31", -1),
        ("1970-01-01", 0),
        ("1999-12-31", 10_956),
        ("2000-02-29", 11_016),
        ("2000-03-01", 11_017),
        ("2023-07-31", 19_569),
        ("2024-02-29", 19_782),
        ("2025-01-01", 20_089),
        ("2100-02-28", 47_540),
        ("2100-03-01", 47_541),
    ] {
        assert_eq!(timestamp(date).micros, days * DAY, "{date}");
        assert!(timestamp(date).is_date());
    }
}

#[test]
fn a_time_ends_where_what_follows_is_none_of_it() {
    for (text, time) in [
        ("2026-11-26 at noon", "2026-11-26"),
        ("2026-11-26 17:61:00", "2026-11-26"),
        ("17:10:41+01: late", "17:10:41+01"),
        ("17:10:41+x", "17:10:41"),
        ("17:10:41,5 s", "17:10:41,5"),
        ("23:59:60", "23:59:60"),
        ("24:00:00", "24:00:00"),
        ("2026-12-31", "2026-12-31"),
    ] {
        let found = Timestamp::at_start_of(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(found.text, time);
        assert_eq!(found, timestamp(time), "{text}");
    }
}

#[test]
fn a_time_of_day_is_counted_from_midnight() {
    let of = |text| (timestamp(text).micros, timestamp(text).grain);
    assert_eq!(of("00:00:01"), (SECOND, SECOND));
    assert_eq!(of("01:02:03"), (3_723 * SECOND, SECOND));
    // Zeros at the end may be left out: no digit says how coarse the clock is.
    assert_eq!(of("00:00:00.5"), (500_000, 1000));
    assert_eq!(of("00:00:00.123456"), (123_456, 1));
    assert_eq!(of("00:00:00.123456789"), (123_456, 1));
    assert_eq!(of("01:00:00+01:00"), (0, SECOND));
    assert!(timestamp("00:00:01").is_time_of_day);
    assert!(!timestamp("1970-01-01 00:00:01").is_time_of_day);
}

#[test]
fn a_number_is_as_coarse_as_it_is_written() {
    let grain = |number| Timestamp::from_number(number).unwrap().grain;
    assert_eq!(grain("1795713041"), SECOND);
    assert_eq!(grain("1795713041.25"), 1);
    assert_eq!(grain("1795713041500"), 1000);
    assert_eq!(grain("1795713041500000"), 1);
    assert_eq!(grain("1795713041500000000"), 1);
}

#[test]
fn what_is_no_time_is_none() {
    for text in [
        "",
        "-",
        "2026-00-01",
        "2026-13-01",
        "2026-01-00",
        "2026-01-32",
        "2026-1-1",
        "25:10:41",
        "26:10:41",
        "17:60:41",
        "17:10:61",
        "17:10:41x",
        "2026",
        "2026-11-26x",
        "1.2.3",
    ] {
        assert_eq!(Timestamp::at_start_of(text), None, "{text}");
    }
    assert_eq!(Timestamp::from_number("12345"), None);
}

#[test]
fn only_a_shift_by_the_time_between_the_runs_is_the_clocks() {
    let (first, second) = (window(10_000, 10_100), window(20_000, 20_100));
    let at = |millis: i128| Timestamp {
        text: String::new(),
        micros: millis * 1000,
        grain: 1,
        is_time_of_day: false,
    };
    // Thirty days later than the run, in both.
    assert!(at(2_592_010_050).moves_with_clock(first, &at(2_592_020_050), second));
    assert!(!at(10_050).moves_with_clock(first, &at(10_051), second));
    assert!(!at(10_050).moves_with_clock(first, &at(30_050), second));
    assert!(at(10_050).is_within(first) && !at(10_050).is_within(second));
}

fn runs() -> (Window, Window) {
    (window(10_000, 10_100), window(20_000, 20_100))
}

fn at(micros: i128, grain: i128) -> Timestamp {
    Timestamp {
        text: String::new(),
        micros,
        grain,
        is_time_of_day: false,
    }
}

/// What the clocks may differ by is a little, and what is written in whole seconds may be a second
/// off.
#[test]
fn a_shift_may_be_off_by_the_slack_and_by_what_is_rounded_away() {
    let (first, second) = runs();
    for (grains, shortest, longest) in [
        ((1, 1), 9_880_000, 10_120_000),
        ((1000, 1000), 9_880_000, 10_120_000),
        ((SECOND, SECOND), 8_880_000, 11_120_000),
        ((1, SECOND), 8_880_000, 11_120_000),
        ((SECOND, 1), 8_880_000, 11_120_000),
    ] {
        let fits =
            |moved: i128| at(7, grains.0).moves_with_clock(first, &at(7 + moved, grains.1), second);
        assert!(fits(shortest) && fits(longest), "{grains:?}");
        assert!(!fits(shortest - 1) && !fits(longest + 1), "{grains:?}");
    }
}

#[test]
fn a_time_of_day_may_pass_midnight_and_a_date_may_not() {
    let (first, second) = runs();
    let (before, after) = (timestamp("23:59:55.00"), timestamp("00:00:05.00"));
    assert!(before.moves_with_clock(first, &after, second));
    assert!(after.moves_with_clock(second, &before, first));
    assert!(!before.moves_with_clock(second, &after, first));
    assert!(!after.moves_with_clock(first, &before, second));
    let dated = |timestamp: &Timestamp| at(timestamp.micros, timestamp.grain);
    assert!(!dated(&before).moves_with_clock(first, &dated(&after), second));
    assert!(!dated(&after).moves_with_clock(second, &dated(&before), first));
    // Ten seconds later, and written in another way.
    let morning = timestamp("00:00:10.00");
    assert!(morning.moves_with_clock(first, &timestamp("00:00:20.00"), second));
    assert!(!morning.moves_with_clock(first, &at(20 * SECOND, 1000), second));
}

#[test]
fn a_time_lies_in_its_run_up_to_the_slack_and_its_grain() {
    let (run, _) = runs();
    let is_within = |micros, grain| at(micros, grain).is_within(run);
    for (grain, earliest, latest) in [
        (1, 9_979_999, 10_120_001),
        (SECOND, 8_980_000, 11_120_000),
        // A date is rounded down alone.
        (DAY, 9_980_000 - DAY, 10_120_000),
    ] {
        assert!(
            is_within(earliest, grain) && is_within(latest, grain),
            "{grain}"
        );
        assert!(
            !is_within(earliest - 1, grain) && !is_within(latest + 1, grain),
            "{grain}"
        );
    }
    assert!(!timestamp("00:00:10").is_within(run));
}
