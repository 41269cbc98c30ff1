//! The values of arguments: literals, choices, paths, names.

use syn::{Expr, ExprLit, Ident, Lit, LitStr, Path};

use crate::attr::Arg;
use crate::errors::{Errors, did_you_mean};
use crate::model::Isolation;

/// A string literal; `example` is what to write instead of anything else.
pub(super) fn string(arg: &Arg, example: &str, errors: &mut Errors) -> Option<LitStr> {
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

/// `"serializable"` or `"repeatable read"`.
pub(super) fn isolation(arg: &Arg, errors: &mut Errors) -> Option<Isolation> {
    let literal = string(arg, "serializable", errors)?;
    let value = literal.value();
    let found = Isolation::ALL
        .into_iter()
        .find(|level| level.text() == value);
    if found.is_none() {
        let names = Isolation::ALL.map(Isolation::text);
        let hint = did_you_mean(&value.to_lowercase(), names)
            .unwrap_or_else(|| "; leave it out for the database's default".to_owned());
        errors.on(
            &literal,
            format!(
                "`isolation` is \"{}\" or \"{}\", not {value:?}{hint}",
                names[0], names[1]
            ),
        );
    }
    found
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

    use super::type_name;
    use crate::attr::Arg;
    use crate::errors::Errors;

    /// Guards: the list of words that are paths and can't be declared.
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
}
