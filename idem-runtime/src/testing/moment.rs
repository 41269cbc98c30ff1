//! Times, and whether two of them differ as the clocks of two runs do.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Window;

const SECOND: i128 = 1_000_000;
const DAY: i128 = 86_400 * SECOND;

/// Between the clock of the server, or of what stamps a row, and ours.
const SLACK: i128 = 20_000;

/// A time that is written somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Moment {
    pub(crate) text: String,
    /// Microseconds since 1970, or of the day where no date is written.
    micros: i128,
    /// What the way in which it is written rounds to.
    grain: i128,
    is_time_of_day: bool,
}

impl Moment {
    /// `2026-11-26`, `2026-11-26 17:10:41.5+01`, `2026-11-26T17:10:41Z`, `17:10:41`: what databases and RFC 3339 write.
    pub(crate) fn at_start_of(text: &str) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let date = reader.date();
        let mut micros = date.unwrap_or(0) * DAY;
        let mut grain = DAY;
        let before_time = reader.at;
        if date.is_none() || reader.one_of(" T").is_some() {
            match reader.time_of_day() {
                Some((time, time_grain)) => {
                    micros += time - reader.offset().unwrap_or(0);
                    grain = time_grain;
                }
                None if date.is_some() => reader.at = before_time,
                None => return None,
            }
        }
        let next = text.as_bytes().get(reader.at);
        if next.is_some_and(u8::is_ascii_alphanumeric) {
            return None;
        }
        Some(Self {
            text: text[..reader.at].to_owned(),
            micros,
            grain,
            is_time_of_day: date.is_none(),
        })
    }

    /// A number of seconds, milliseconds, microseconds or nanoseconds since 1970, told by its size: from 2001 to 5138.
    pub(crate) fn from_number(number: &str) -> Option<Self> {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let value: i128 = whole.parse().ok()?;
        let (micros, grain) = match whole.len() {
            10 | 11 => {
                let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
                let grain = if fraction.is_empty() { SECOND } else { 1 };
                (value * SECOND + digits.parse::<i128>().ok()?, grain)
            }
            13 | 14 => (value * 1000, 1000),
            16 | 17 => (value, 1),
            19 | 20 => (value / 1000, 1),
            _ => return None,
        };
        Some(Self {
            text: number.to_owned(),
            micros,
            grain,
            is_time_of_day: false,
        })
    }

    /// Whether the two could be read off one clock, once in each run, or computed from it in the same way.
    pub(crate) fn moves_with_clock(&self, own: Window, other: &Self, others: Window) -> bool {
        if self.is_time_of_day != other.is_time_of_day {
            return false;
        }
        let moved = other.micros - self.micros;
        let grain = self.grain.max(other.grain);
        let slack = SLACK + if grain > 1000 { grain } else { 0 };
        let shortest = micros(others.from) - micros(own.to) - slack;
        let longest = micros(others.to) - micros(own.from) + slack;
        let fits = |moved| (shortest..=longest).contains(&moved);
        fits(moved) || (self.is_time_of_day && (fits(moved + DAY) || fits(moved - DAY)))
    }

    /// Whether it lies in the time of its run.
    pub(crate) fn is_within(&self, window: Window) -> bool {
        // What is written is rounded down, or to the nearest second.
        let earliest = micros(window.from) - SLACK - self.grain;
        let latest = micros(window.to) + SLACK + if self.is_date() { 0 } else { self.grain };
        !self.is_time_of_day && (earliest..=latest).contains(&self.micros)
    }

    /// Whether only the day is written.
    pub(crate) fn is_date(&self) -> bool {
        self.grain == DAY
    }
}

fn micros(time: SystemTime) -> i128 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_micros()).unwrap_or(i128::MAX)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// Days since 1970.
    fn date(&mut self) -> Option<i128> {
        let start = self.at;
        let date = (|| {
            let year = self.number(4)?;
            self.one_of("-")?;
            let month = self.number(2).filter(|month| (1..=12).contains(month))?;
            self.one_of("-")?;
            let day = self.number(2).filter(|day| (1..=31).contains(day))?;
            Some(days(year, month, day))
        })();
        if date.is_none() {
            self.at = start;
        }
        date
    }

    /// Microseconds of the day, and what they are rounded to.
    fn time_of_day(&mut self) -> Option<(i128, i128)> {
        let hours = self.number(2).filter(|hours| *hours < 25)?;
        self.one_of(":")?;
        let minutes = self.number(2).filter(|minutes| *minutes < 60)?;
        self.one_of(":")?;
        let seconds = self.number(2).filter(|seconds| *seconds < 61)?;
        let mut micros = ((hours * 60 + minutes) * 60 + seconds) * SECOND;
        let mut grain = SECOND;
        if self.one_of(".,").is_some() {
            let digits = self.text[self.at..]
                .bytes()
                .take_while(u8::is_ascii_digit)
                .count();
            for digit in self.text[self.at..self.at + digits].bytes().take(6) {
                grain /= 10;
                micros += i128::from(digit - b'0') * grain;
            }
            // PostgreSQL leaves zeros at the end out.
            grain = grain.min(1000);
            self.at += digits;
        }
        Some((micros, grain))
    }

    /// `Z`, `+01`, `-0130`, `+01:30`, in microseconds.
    fn offset(&mut self) -> Option<i128> {
        let start = self.at;
        let sign = match self.one_of("Z+-")? {
            b'Z' => return Some(0),
            b'-' => -1,
            _ => 1,
        };
        let Some(hours) = self.number(2) else {
            self.at = start;
            return None;
        };
        let colon = self.one_of(":").is_some();
        let minutes = self.number(2);
        if colon && minutes.is_none() {
            self.at -= 1;
        }
        Some(sign * (hours * 60 + minutes.unwrap_or(0)) * 60 * SECOND)
    }

    fn number(&mut self, digits: usize) -> Option<i128> {
        let text = self.text.get(self.at..self.at + digits)?;
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.at += digits;
        text.parse().ok()
    }

    fn one_of(&mut self, choices: &str) -> Option<u8> {
        let byte = *self.text.as_bytes().get(self.at)?;
        choices.as_bytes().contains(&byte).then(|| {
            self.at += 1;
            byte
        })
    }
}

/// Days since 1970 of a date in the Gregorian calendar.
fn days(year: i128, month: i128, day: i128) -> i128 {
    // Years that begin in March have their leap day at the end.
    let year = if month > 2 { year } else { year - 1 };
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
        - 719_468
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn moment(text: &str) -> Moment {
        let moment = Moment::at_start_of(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(moment.text, text);
        moment
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
            assert_eq!(moment(text).micros, micros, "{text}");
        }
        assert_eq!(Moment::from_number("1795713041.5").unwrap().micros, micros);
        assert_eq!(Moment::from_number("1795713041500").unwrap().micros, micros);
        assert_eq!(
            Moment::from_number("1795713041500000").unwrap().micros,
            micros
        );
        assert_eq!(
            Moment::from_number("1795713041500000999").unwrap().micros,
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
            assert_eq!(moment(date).micros, days * DAY, "{date}");
            assert!(moment(date).is_date());
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
            let found = Moment::at_start_of(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(found.text, time);
            assert_eq!(found, moment(time), "{text}");
        }
    }

    #[test]
    fn a_time_of_day_is_counted_from_midnight() {
        let of = |text| (moment(text).micros, moment(text).grain);
        assert_eq!(of("00:00:01"), (SECOND, SECOND));
        assert_eq!(of("01:02:03"), (3_723 * SECOND, SECOND));
        // Zeros at the end may be left out: no digit says how coarse the clock is.
        assert_eq!(of("00:00:00.5"), (500_000, 1000));
        assert_eq!(of("00:00:00.123456"), (123_456, 1));
        assert_eq!(of("00:00:00.123456789"), (123_456, 1));
        assert_eq!(of("01:00:00+01:00"), (0, SECOND));
        assert!(moment("00:00:01").is_time_of_day);
        assert!(!moment("1970-01-01 00:00:01").is_time_of_day);
    }

    #[test]
    fn a_number_is_as_coarse_as_it_is_written() {
        let grain = |number| Moment::from_number(number).unwrap().grain;
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
            assert_eq!(Moment::at_start_of(text), None, "{text}");
        }
        assert_eq!(Moment::from_number("12345"), None);
    }

    #[test]
    fn only_a_shift_by_the_time_between_the_runs_is_the_clocks() {
        let (first, second) = (window(10_000, 10_100), window(20_000, 20_100));
        let at = |millis: i128| Moment {
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

    fn at(micros: i128, grain: i128) -> Moment {
        Moment {
            text: String::new(),
            micros,
            grain,
            is_time_of_day: false,
        }
    }

    /// What the clocks may differ by is a little, and what is written in whole seconds may be a second off.
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
            let fits = |moved: i128| {
                at(7, grains.0).moves_with_clock(first, &at(7 + moved, grains.1), second)
            };
            assert!(fits(shortest) && fits(longest), "{grains:?}");
            assert!(!fits(shortest - 1) && !fits(longest + 1), "{grains:?}");
        }
    }

    #[test]
    fn a_time_of_day_may_pass_midnight_and_a_date_may_not() {
        let (first, second) = runs();
        let (before, after) = (moment("23:59:55.00"), moment("00:00:05.00"));
        assert!(before.moves_with_clock(first, &after, second));
        assert!(after.moves_with_clock(second, &before, first));
        assert!(!before.moves_with_clock(second, &after, first));
        assert!(!after.moves_with_clock(first, &before, second));
        let dated = |moment: &Moment| at(moment.micros, moment.grain);
        assert!(!dated(&before).moves_with_clock(first, &dated(&after), second));
        assert!(!dated(&after).moves_with_clock(second, &dated(&before), first));
        // Ten seconds later, and written in another way.
        let morning = moment("00:00:10.00");
        assert!(morning.moves_with_clock(first, &moment("00:00:20.00"), second));
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
        assert!(!moment("00:00:10").is_within(run));
    }
}
