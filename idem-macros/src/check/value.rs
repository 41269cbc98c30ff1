//! The values of arguments: literals, durations, paths, names.

use syn::{Expr, ExprLit, Ident, Lit, LitStr, Path};

use crate::attr::Arg;
use crate::errors::{Errors, did_you_mean};
use crate::model::{InFlight, Retention};

/// Longer is `"forever"`.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// A string literal; `example` is what to write instead of anything else.
fn string(arg: &Arg, example: &str, errors: &mut Errors) -> Option<LitStr> {
    match arg.value.as_ref().map(ungrouped) {
        Some(Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        })) => Some(literal.clone()),
        other => {
            let name = &arg.name;
            errors.on(
                other,
                format!("`{name}` takes a string, e.g. `{name} = \"{example}\"`"),
            );
            None
        }
    }
}

/// 1 to 255 ASCII characters that need no quoting anywhere.
pub(super) fn scope(arg: &Arg, errors: &mut Errors) -> Option<LitStr> {
    let literal = string(arg, "payments.apply", errors)?;
    let value = literal.value();
    let message = if value.is_empty() {
        "`scope` is empty; name the handler, e.g. `scope = \"payments.apply\"`".to_owned()
    } else if value.len() > 255 {
        format!("`scope` has {} bytes; at most 255 are stored", value.len())
    } else if let Some(bad) = value
        .chars()
        .find(|char| !char.is_ascii_graphic() || matches!(char, '"' | '\'' | '\\'))
    {
        format!(
            "`scope` cannot hold {bad:?}; use ASCII letters, digits and punctuation, no blanks, quotes or backslashes"
        )
    } else {
        return Some(literal);
    };
    errors.on(&literal, message);
    None
}

/// What a broker takes as the name of a topic or type.
pub(crate) fn topic(arg: &Arg, example: &str, errors: &mut Errors) -> Option<LitStr> {
    let literal = string(arg, example, errors)?;
    let name = &arg.name;
    let value = literal.value();
    let message = if value.is_empty() {
        format!("`{name}` is empty; write e.g. `{name} = \"{example}\"`")
    } else if value.len() > 255 {
        format!("`{name}` has {} bytes; at most 255 are stored", value.len())
    } else if let Some(bad) = value
        .chars()
        .find(|char| char.is_whitespace() || char.is_control())
    {
        format!("`{name}` cannot hold {bad:?}; write e.g. `{name} = \"{example}\"`")
    } else {
        return Some(literal);
    };
    errors.on(&literal, message);
    None
}

/// One of two words; whether it is the first.
pub(super) fn choice(arg: &Arg, words: [&str; 2], errors: &mut Errors) -> Option<bool> {
    let literal = string(arg, words[1], errors)?;
    let value = literal.value();
    if let Some(at) = words.iter().position(|word| *word == value) {
        return Some(at == 0);
    }
    let name = &arg.name;
    let hint = did_you_mean(&value, words).unwrap_or_default();
    errors.on(
        &literal,
        format!(
            "`{name}` is \"{}\" or \"{}\", not {value:?}{hint}",
            words[0], words[1]
        ),
    );
    None
}

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
        Ok(millis) => {
            return Some(Retention {
                millis,
                text: value,
            });
        }
        Err(problem) if problem.zero => {
            format!(
                "a retention of {value:?} forgets the key at once; cover the longest \
                 redelivery, e.g. \"30d\""
            )
        }
        Err(problem) => problem.message + " or \"forever\"",
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
            format!("{text:?} is no duration; write e.g. {example:?}")
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

/// An integer of at least `least`.
pub(super) fn integer(arg: &Arg, least: u32, errors: &mut Errors) -> Option<u32> {
    let name = &arg.name;
    let value = arg.value.as_ref().map(ungrouped);
    if let Some(Expr::Lit(ExprLit {
        lit: Lit::Int(literal),
        ..
    })) = value
        && literal.suffix().is_empty()
        && let Ok(number) = literal.base10_parse::<u32>()
        && number >= least
    {
        return Some(number);
    }
    errors.on(
        value,
        match least {
            0 => format!("`{name}` takes an integer, e.g. `{name} = 3`"),
            _ => format!("`{name}` takes an integer of at least {least}, e.g. `{name} = 3`"),
        },
    );
    None
}

/// The name of a type to declare.
pub(super) fn type_name(arg: &Arg, errors: &mut Errors) -> Option<Ident> {
    if let Some(Expr::Path(path)) = arg.value.as_ref().map(ungrouped)
        && let Some(ident) = path.path.get_ident()
        && !matches!(
            ident.to_string().as_str(),
            "self" | "Self" | "super" | "crate"
        )
    {
        return Some(ident.clone());
    }
    let name = &arg.name;
    errors.on(
        &arg.value,
        format!(
            "`{name}` takes the name of a type to declare, without quotes: `{name} = ApplyPayment`"
        ),
    );
    None
}

/// `"::idem"`, or the same without quotes.
pub(crate) fn crate_path(arg: &Arg, errors: &mut Errors) -> Option<Path> {
    let value = arg.value.as_ref().map(ungrouped);
    let path = match value {
        Some(Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        })) => literal.parse::<Path>().ok(),
        Some(Expr::Path(path)) if path.qself.is_none() => Some(path.path.clone()),
        _ => None,
    };
    let absolute = |path: &Path| {
        path.leading_colon.is_some()
            || path
                .segments
                .first()
                .is_some_and(|first| first.ident == "crate" || first.ident == "$crate")
    };
    if let Some(path) = path.filter(absolute) {
        return Some(path);
    }
    errors.on(
        value,
        "`crate` takes an absolute path, e.g. `crate = \"::idem_runtime\"` or `crate = \
         \"crate::reexports::idem\"`",
    );
    None
}

/// Looks through the invisible delimiters that `macro_rules!` puts around an expression.
pub(super) fn ungrouped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Group(group) => ungrouped(&group.expr),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use syn::{Ident, parse_str};

    use super::{millis, type_name};
    use crate::attr::Arg;
    use crate::errors::Errors;

    /// Cure: the list of words that are paths and can't be declared.
    #[test]
    fn a_type_to_declare_has_a_name_of_its_own() {
        let declared = |value: &str| {
            let arg = Arg {
                name: Ident::new("handler", Span::call_site()),
                value: Some(parse_str(value).unwrap()),
            };
            type_name(&arg, &mut Errors::default()).map(|name| name.to_string())
        };
        for name in ["Apply", "r#type"] {
            assert_eq!(declared(name).as_deref(), Some(name));
        }
        for other in [
            "super",
            "self",
            "Self",
            "crate",
            "a::Apply",
            "Apply::<u8>",
            "\"Apply\"",
            "1",
        ] {
            assert_eq!(declared(other), None, "{other}");
        }
    }

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
