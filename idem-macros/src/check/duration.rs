//! Arguments that are or hold a time: `retention`, `in_flight`.

use super::value::string;
use crate::attr::Arg;
use crate::errors::{Errors, did_you_mean};
use crate::model::{InFlight, Retention};

/// A key that expired while its own transaction runs would let the message run again.
const SHORTEST_RETENTION: u64 = 60_000;

/// Longer is `"forever"`.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// `"wait"`, `"wait 5s"` or `"fail"`.
pub(super) fn in_flight(arg: &Arg, errors: &mut Errors) -> Option<InFlight> {
    let literal = string(arg, "wait 5s", errors)?;
    let value = literal.value();
    let parsed = match value.split_once(' ') {
        None if value == "wait" => Ok(InFlight::Default),
        None if value == "fail" => Ok(InFlight::Fail),
        Some(("wait", duration)) => {
            millis(duration, "5s")
                .map(InFlight::WaitMillis)
                .map_err(|problem| {
                    if problem.zero {
                        "waiting for no time is `in_flight = \"fail\"`".to_owned()
                    } else {
                        problem.message
                    }
                })
        }
        _ => {
            let hint = did_you_mean(&value, ["wait", "fail"]).unwrap_or_default();
            Err(format!(
                "`in_flight` is \"wait\", \"wait 5s\" or \"fail\", not {value:?}{hint}"
            ))
        }
    };
    parsed.map_err(|message| errors.on(&literal, message)).ok()
}

/// `"30d"`; `None` is `"forever"`.
pub(super) fn retention(arg: &Arg, errors: &mut Errors) -> Option<Retention> {
    let literal = string(arg, "30d", errors)?;
    let value = literal.value();
    if value == "forever" {
        return None;
    }
    let message = match millis(&value, "30d") {
        Ok(millis) if millis >= SHORTEST_RETENTION => {
            return Some(Retention {
                millis,
                text: value,
            });
        }
        Err(problem) if !problem.zero => problem.message + " or \"forever\"",
        _ => format!(
            "{value:?} is shorter than a minute: a key that expires while its own transaction runs \
             lets the message run again; cover the longest redelivery, e.g. \"30d\""
        ),
    };
    errors.on(&literal, message);
    None
}

struct Problem {
    message: String,
    zero: bool,
}

fn millis(text: &str, example: &str) -> Result<u64, Problem> {
    let problem = |message| {
        Err(Problem {
            message,
            zero: false,
        })
    };
    let (digits, unit) = text.split_at(
        text.find(|char: char| !char.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return problem(if digits.is_empty() {
            format!("{text:?} is not a duration; write e.g. {example:?}")
        } else if unit.is_empty() {
            format!("{text:?} has no unit (ms, s, m, h or d); write e.g. {example:?}")
        } else {
            format!("{unit:?} is no unit of time (ms, s, m, h or d); write e.g. {example:?}")
        });
    };
    let value = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor));
    match value {
        Some(0) => Err(Problem {
            message: format!("{text:?} is no time at all; write e.g. {example:?}"),
            zero: true,
        }),
        Some(value) if value <= LONGEST => Ok(value),
        _ if digits.is_empty() => {
            problem(format!("{text:?} has no number; write e.g. {example:?}"))
        }
        _ => problem(format!(
            "{text:?} is longer than 100 years; write e.g. {example:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, expected) in [
            ("250ms", 250),
            ("5s", 5000),
            ("15m", 900_000),
            ("36h", 129_600_000),
            ("30d", 2_592_000_000),
        ] {
            assert_eq!(millis(text, "30d").ok(), Some(expected), "{text}");
        }
        for text in [
            "",
            "30",
            "d",
            "0s",
            "30 d",
            "30w",
            "-1s",
            "1.5h",
            "99999999999999999999d",
            "40000d",
            "soon",
        ] {
            assert!(millis(text, "30d").is_err(), "{text}");
        }
    }
}
