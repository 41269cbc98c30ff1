//! Tokens to arguments, spans kept. What an argument means is decided in `check`.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Attribute, Error, Expr, Ident, Meta, Token, token};

use crate::errors::{Errors, did_you_mean};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Macro {
    Idempotent,
    Outbox,
    Event,
    Key,
}

impl Macro {
    /// As a user writes it.
    pub(crate) fn display(self) -> &'static str {
        match self {
            Macro::Idempotent => "#[idempotent]",
            Macro::Outbox => "#[outbox]",
            Macro::Event => "#[event]",
            Macro::Key => "#[key]",
        }
    }

    fn name(self) -> &'static str {
        self.display().trim_matches(['#', '[', ']'])
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Macro::Idempotent => &[
                "key",
                "scope",
                "fingerprint",
                "on_duplicate",
                "on_error",
                "in_flight",
                "retention",
                "retry",
                "isolation",
                "result_version",
                "hash_key",
                "handler",
                "batch",
                "crate",
            ],
            Macro::Outbox => &["topic", "key", "type", "scope", "crate"],
            Macro::Event => &["topic", "key", "type", "crate"],
            Macro::Key => &["crate"],
        }
    }

    /// A value to show in an example.
    fn example(argument: &str) -> &'static str {
        match argument {
            "key" => "\"event.id\"",
            "scope" => "\"payments.apply\"",
            "fingerprint" => "\"event.amount\"",
            "on_duplicate" => "\"skip\"",
            "on_error" => "\"record\"",
            "in_flight" => "\"wait 5s\"",
            "retention" => "\"30d\"",
            "retry" => "3",
            "isolation" => "\"serializable\"",
            "result_version" => "2",
            "handler" => "ApplyPayment",
            "batch" => "\"event in events\"",
            "topic" => "\"orders.placed\"",
            "type" => "\"OrderPlaced\"",
            _ => "\"::idem_runtime\"",
        }
    }

    /// Whether `attr` is this macro, by the last segment of its path.
    pub(crate) fn is(self, attr: &Attribute) -> bool {
        attr.path()
            .segments
            .last()
            .is_some_and(|segment| segment.ident == self.name())
    }
}

/// One argument as it was written: `name`, or `name = value`.
pub(crate) struct Arg {
    pub(crate) name: Ident,
    pub(crate) value: Option<Expr>,
}

/// The arguments of one attribute; each at most once, all of them known.
pub(crate) struct Args {
    list: Vec<Arg>,
    /// Of the attribute, for what is missing in it.
    pub(crate) span: Span,
    /// Something could not be read, so that what seems to be missing may only be misspelt.
    pub(crate) broken: bool,
}

impl Args {
    /// Reads what stands between the parentheses of an attribute.
    pub(crate) fn read(
        attribute: Macro,
        tokens: TokenStream,
        span: Span,
        errors: &mut Errors,
    ) -> Self {
        let mut args = Args {
            list: Vec::new(),
            span,
            broken: false,
        };
        let read = |input: ParseStream<'_>| {
            while !input.is_empty() {
                match read_arg(attribute, input) {
                    Ok(arg) => args.add(attribute, arg, errors),
                    Err(error) => {
                        args.broken = true;
                        errors.push(error);
                        skip_to_comma(input);
                    }
                }
                if !input.is_empty() && input.parse::<Token![,]>().is_err() {
                    args.broken = true;
                    errors.push(input.error("expected `,` between two arguments"));
                    skip_to_comma(input);
                    let _ = input.parse::<Token![,]>();
                }
            }
            Ok(())
        };
        // Cannot fail: the closure takes every token and returns `Ok`.
        if let Err(error) = read.parse2(tokens) {
            errors.push(error);
        }
        args
    }

    /// Reads an attribute that stands on an item.
    pub(crate) fn of_attribute(attribute: Macro, attr: &Attribute, errors: &mut Errors) -> Self {
        let span = attr
            .path()
            .segments
            .last()
            .map_or_else(Span::call_site, |segment| segment.ident.span());
        let tokens = match &attr.meta {
            Meta::Path(_) => TokenStream::new(),
            Meta::List(list) => list.tokens.clone(),
            Meta::NameValue(pair) => {
                let name = attribute.name();
                errors.on(
                    &pair.value,
                    format!("arguments stand in parentheses: `#[{name}(name = value)]`"),
                );
                TokenStream::new()
            }
        };
        Args::read(attribute, tokens, span, errors)
    }

    /// Takes the argument out of the list.
    pub(crate) fn take(&mut self, name: &str) -> Option<Arg> {
        let at = self.list.iter().position(|arg| arg.name == name)?;
        Some(self.list.remove(at))
    }

    fn add(&mut self, attribute: Macro, arg: Arg, errors: &mut Errors) {
        let name = arg.name.to_string();
        if !attribute.arguments().contains(&name.as_str()) {
            self.broken = true;
            errors.on(&arg.name, unknown(attribute, &name));
        } else if self.list.iter().any(|earlier| earlier.name == name) {
            errors.on(
                &arg.name,
                format!("duplicate argument `{name}`; remove one of the two"),
            );
        } else if arg.value.is_none() && name != "hash_key" {
            self.broken = true;
            let example = Macro::example(&name);
            errors.on(
                &arg.name,
                format!("`{name}` needs a value, e.g. `{name} = {example}`"),
            );
        } else {
            self.list.push(arg);
        }
    }
}

fn unknown(attribute: Macro, name: &str) -> String {
    let known = attribute.arguments();
    if let Some(suggestion) = did_you_mean(name, known.iter().copied()) {
        return format!("unknown argument `{name}`{suggestion}");
    }
    if (attribute, name) == (Macro::Outbox, "handler") {
        return "a handler is called by its type only where it has a key: move `handler` to \
                `#[idempotent(key = \"...\")]` on the same function"
            .to_owned();
    }
    if let Some(owner) = [Macro::Idempotent, Macro::Outbox, Macro::Event]
        .into_iter()
        .find(|other| other.arguments().contains(&name))
    {
        return format!(
            "`{name}` is an argument of `{}`, not of `{}`",
            owner.display(),
            attribute.display()
        );
    }
    let list = known
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    format!(
        "unknown argument `{name}`; `{}` takes {list}",
        attribute.display()
    )
}

fn read_arg(attribute: Macro, input: ParseStream<'_>) -> syn::Result<Arg> {
    if !input.peek(Ident::peek_any) {
        let message = match attribute {
            Macro::Idempotent => "expected an argument by its name, e.g. `key = \"event.id\"`",
            Macro::Outbox | Macro::Event => {
                "expected an argument by its name, e.g. `topic = \"orders.placed\"`"
            }
            Macro::Key => "expected an argument by its name: `crate = \"::idem_runtime\"`",
        };
        return Err(input.error(message));
    }
    let name = Ident::parse_any(input)?;
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(Arg { name, value: None });
    }
    if input.peek(token::Paren) || input.peek(Token![:]) {
        let example = Macro::example(&name.to_string());
        return Err(input.error(format!("write `{name} = value`, e.g. `{name} = {example}`")));
    }
    let equals: Token![=] = input
        .parse()
        .map_err(|_| input.error(format!("expected `=` after `{name}`")))?;
    if input.is_empty() || input.peek(Token![,]) {
        let example = Macro::example(&name.to_string());
        return Err(Error::new(
            equals.span,
            format!("`{name}` needs a value, e.g. `{name} = {example}`"),
        ));
    }
    Ok(Arg {
        value: Some(Expr::parse(input)?),
        name,
    })
}

fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        // Any token tree parses.
        let _ = input.parse::<TokenTree>();
    }
}
