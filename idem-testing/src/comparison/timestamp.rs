//! Times, and whether two of them differ as the clocks of two runs do.

use std::time::{SystemTime, UNIX_EPOCH};

use super::snapshot::Window;

const SECOND: i128 = 1_000_000;
const DAY: i128 = 86_400 * SECOND;

/// Between the clock of the server, or of what stamps a row, and ours.
const SLACK: i128 = 20_000;

/// A time that is written somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Timestamp {
    pub(crate) text: String,
    /// Microseconds since 1970, or of the day where no date is written.
    micros: i128,
    /// What the way in which it is written rounds to.
    grain: i128,
    is_time_of_day: bool,
}

impl Timestamp {
    /// `2026-11-26`, `2026-11-26 17:10:41.5+01`, `2026-11-26T17:10:41Z`, `17:10:41`: what databases
    /// and RFC 3339 write.
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

    /// A number of seconds, milliseconds, microseconds or nanoseconds since 1970, told by its size:
    /// from 2001 to 5138.
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

    /// Whether the two could be read off one clock, once in each run, or computed from it in the
    /// same way.
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

    /// Whether it is in the time of its run.
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
mod tests;
