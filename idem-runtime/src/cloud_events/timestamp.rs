//! The attribute `time`: timestamps of RFC 3339.

use std::time::{Duration, SystemTime};

/// The end of the year 9999.
pub(super) const LAST_MOMENT: Duration = Duration::new(253_402_300_799, 999_999_999);

/// The calendar repeats itself after 400 years.
const SECONDS_OF_400_YEARS: u64 = 146_097 * 24 * 60 * 60;

/// UTC, to the microsecond, which is what the databases keep, or to the nanosecond where there are
/// any. A time outside of the years 1970 to 9999, which have four digits, becomes their first or
/// last moment.
pub(super) fn format(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .min(LAST_MOMENT);
    let time = SystemTime::UNIX_EPOCH + since;
    if since.subsec_nanos().is_multiple_of(1_000) {
        humantime::format_rfc3339_micros(time).to_string()
    } else {
        humantime::format_rfc3339_nanos(time).to_string()
    }
}

/// Any timestamp of the years 0000 to 9999, in UTC or with an offset. What is finer than a
/// nanosecond is cut off, and a leap second is the second before it.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    if !text.is_ascii() {
        return None;
    }
    let text = text.to_ascii_uppercase();
    let (local, east, offset) = if let Some(local) = text.strip_suffix('Z') {
        (local, true, Duration::ZERO)
    } else {
        let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
        let (east, offset) = match offset.split_at(1) {
            ("+", offset) => (true, offset),
            ("-", offset) => (false, offset),
            _ => return None,
        };
        (local, east, minutes(offset)?)
    };
    let (_, fraction) = local.split_at_checked("2020-01-01T00:00:00".len())?;
    let fraction = fraction.strip_prefix('.').unwrap_or(fraction);
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The parser reads years from 1970 on.
    let (year, rest) = local.split_at_checked(4)?;
    let year = digits(year)?;
    let cycles = if year < 1970 { 5 } else { 0 };
    let shifted = format!("{:04}{rest}Z", year + 400 * cycles);
    let time = humantime::parse_rfc3339(&shifted).ok()?;
    let time = time.checked_sub(Duration::from_secs(SECONDS_OF_400_YEARS * cycles))?;
    if east {
        time.checked_sub(offset)
    } else {
        time.checked_add(offset)
    }
}

/// `HH:MM`
fn minutes(offset: &str) -> Option<Duration> {
    let (hours, minutes) = offset.split_once(':')?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let is_offset = offset.len() == 5 && hours < 24 && minutes < 60;
    is_offset.then(|| Duration::from_mins(hours * 60 + minutes))
}

/// A number without a sign.
fn digits(text: &str) -> Option<u64> {
    let all = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

    /// Guards: `LAST_MOMENT`. Found by the fuzz target `envelopes`.
    #[test]
    fn a_time_that_rfc_3339_cannot_say_is_the_nearest_that_it_can() {
        let end = EPOCH + LAST_MOMENT;
        for (time, text) in [
            (
                EPOCH - Duration::from_secs(1),
                "1970-01-01T00:00:00.000000Z",
            ),
            (EPOCH, "1970-01-01T00:00:00.000000Z"),
            (end, "9999-12-31T23:59:59.999999999Z"),
            (
                end + Duration::from_nanos(1),
                "9999-12-31T23:59:59.999999999Z",
            ),
        ] {
            assert_eq!(format(time), text);
        }
    }

    #[test]
    fn what_is_written_is_read_to_the_nanosecond() {
        for nanos in [0, 1, 999_999_999, 1_709_210_096_000_042_007] {
            let time = EPOCH + Duration::from_nanos(nanos);
            assert_eq!(parse(&format(time)), Some(time));
        }
    }

    /// The first two are the examples of RFC 3339, section 5.8, and their moments in UTC.
    #[test]
    fn timestamps_of_other_programs_are_read() {
        for (text, same) in [
            ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57Z"),
            ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.520Z"),
            ("1990-12-31T15:59:60-08:00", "1990-12-31T23:59:59Z"),
            ("2020-01-01t05:30:00+05:30", "2020-01-01T00:00:00z"),
            (
                "2020-01-01T00:00:00.1234567891Z",
                "2020-01-01T00:00:00.123456789+00:00",
            ),
        ] {
            assert_eq!(parse(text), parse(same), "{text}");
            assert!(parse(text).is_some(), "{text}");
        }
        let sixties = EPOCH - Duration::from_hours(24 * 365);
        assert_eq!(parse("1969-01-01T00:00:00Z"), Some(sixties));
        let first = EPOCH - Duration::from_hours(24 * 719_162);
        assert_eq!(parse("0001-01-01T00:00:00Z"), Some(first));
    }

    #[test]
    fn what_is_no_timestamp_is_not_read() {
        for text in [
            "",
            "Z",
            "2020",
            "2020-01-01",
            "2020-01-01T00:00:00",
            "2020-01-01 00:00:00Z",
            "2020-01-01T00:00:00+0530",
            "2020-01-01T00:00:00+24:00",
            "2020-01-01T00:00:00+05:60",
            "2020-01-01T00:00:00++5:30",
            "2020-01-01T00:00:00*05:30",
            "2020-02-30T00:00:00Z",
            "2020-01-01T00:00:00ZZ",
            "2020-01-01T00:00:00+00:00Z",
            "+020-01-01T00:00:00Z",
            "２020-01-01T00:00:00Z",
            "é-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
