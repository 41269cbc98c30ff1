//! Expressions over a handler's parameters: the key, the fingerprint, the ordering key.

use proc_macro2::{Delimiter, Group, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Error, Expr, ExprLit, Ident, Lit, LitStr};

use super::minted::minted;
use super::value::ungrouped;
use crate::attr::Arg;
use crate::errors::{Errors, did_you_mean};
use crate::model::Expression;
use crate::tokens::{self, Near};

/// The variables that an expression may use, and those it may not.
#[derive(Default)]
pub(crate) struct Variables {
    /// The bindings of the parameters that stay.
    pub(crate) values: Vec<Ident>,
    pub(crate) transaction: Option<Ident>,
    pub(crate) outbox: Option<Ident>,
    /// The slice of a batch, where an expression is for one event of it.
    pub(crate) events: Option<Ident>,
    /// What looks like the slice of a batch, where there is no `batch`.
    pub(crate) slice: Option<Ident>,
    /// The parameters that are the same for all events of a batch.
    pub(crate) shared: Vec<Ident>,
}

impl Variables {
    /// Those of an expression for one event of a batch.
    pub(crate) fn of_event(&self, event: &Ident, events: &Ident) -> Self {
        Self {
            values: vec![event.clone()],
            transaction: self.transaction.clone(),
            outbox: self.outbox.clone(),
            events: Some(events.clone()),
            slice: None,
            shared: self.values.clone(),
        }
    }
}

/// What an expression is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Key,
    Fingerprint,
    /// The ordering key of an event, over the parameters of a handler.
    Ordering,
    /// The same, over the fields of the event.
    EventOrdering,
}

impl Purpose {
    /// What it is made of.
    fn source(self) -> &'static str {
        match self {
            Purpose::EventOrdering => "field",
            _ => "parameter",
        }
    }

    fn if_constant(self) -> &'static str {
        match self {
            Purpose::Key => "every delivery but the first would be a duplicate",
            Purpose::Fingerprint => "two different messages could not be told apart",
            Purpose::Ordering | Purpose::EventOrdering => {
                "every event of the topic would wait for every other"
            }
        }
    }

    fn if_minted(self) -> &'static str {
        match self {
            Purpose::Key => "differs on every delivery, so no duplicate would be recognised",
            Purpose::Fingerprint => "differs on every delivery, so each duplicate would be refused",
            Purpose::Ordering | Purpose::EventOrdering => {
                "differs on every call, so nothing would be in order"
            }
        }
    }
}

/// Reads the expression of an argument that must differ from message to message.
pub(crate) fn expression(
    arg: &Arg,
    purpose: Purpose,
    variables: &Variables,
    errors: &mut Errors,
) -> Option<Expression> {
    let checked = Checked {
        name: &arg.name,
        purpose,
        variables,
    };
    match checked.read(arg) {
        Ok(expression) => Some(expression),
        Err(error) => {
            errors.push(error);
            None
        }
    }
}

struct Checked<'a> {
    name: &'a Ident,
    purpose: Purpose,
    variables: &'a Variables,
}

impl Checked<'_> {
    fn read(&self, arg: &Arg) -> Result<Expression, Error> {
        let value = arg.value.as_ref().map(ungrouped);
        let expr = match value {
            Some(Expr::Lit(ExprLit {
                lit: Lit::Str(literal),
                ..
            })) => self
                .parse(literal)
                .map_err(|message| Error::new_spanned(literal, message))?,
            Some(Expr::Lit(literal)) => return Err(Error::new_spanned(literal, self.constant())),
            Some(written) => written.clone(),
            None => return Err(Error::new_spanned(self.name, self.constant())),
        };
        if self.purpose == Purpose::Key
            && let Some(part) = empty_part(&expr)
        {
            let at = if matches!(value, Some(Expr::Lit(_))) {
                value.to_token_stream()
            } else {
                part.to_token_stream()
            };
            return Err(Error::new_spanned(
                at,
                "a part of `key` is empty, and such a key is refused in each call; leave the part out",
            ));
        }
        let tokens = expr.to_token_stream();
        self.rules(&tokens).map_err(|(token, message)| {
            // A token that was parsed from a literal has no place of its own.
            let token = token.filter(|_| !matches!(value, Some(Expr::Lit(_))));
            token.map_or_else(
                || Error::new_spanned(value, &message),
                |span| Error::new(span, &message),
            )
        })?;
        Ok(Expression {
            borrowed: borrowed(&expr),
            tokens,
        })
    }

    fn parse(&self, literal: &LitStr) -> Result<Expr, String> {
        let value = literal.value();
        if value.trim().is_empty() {
            return Err(format!(
                "`{}` is empty; write {}",
                self.name,
                self.example()
            ));
        }
        // Resolved where the attribute stands, located on the literal: rustc would otherwise offer
        // to replace all of it.
        let span = Span::call_site().located_at(literal.span());
        let tokens = value.parse::<TokenStream>().ok();
        let expr = tokens.and_then(|tokens| syn::parse2(tokens::located_at(tokens, span)).ok());
        match expr {
            Some(Expr::Lit(_)) => Err(self.constant()),
            Some(expr) => Ok(expr),
            None => Err(format!(
                "`{value}` is not an expression; write {}",
                self.example()
            )),
        }
    }

    fn rules(&self, tokens: &TokenStream) -> Result<(), (Option<Span>, String)> {
        let mut found = None;
        tokens::any(tokens, &mut |near| {
            found = self
                .refused(near)
                .map(|reason| (near.token().span(), reason));
            found.is_some()
        });
        if let Some((span, reason)) = found {
            return Err((Some(span), format!("`{}` {reason}", self.name)));
        }
        let values = &self.variables.values;
        if values.iter().any(|value| tokens::mentions(tokens, value)) {
            Ok(())
        } else {
            Err((None, self.unmentioned(tokens)))
        }
    }

    /// Why a token has no place in an expression that names a message; reads on after the
    /// argument's name.
    fn refused(&self, near: &Near<'_>) -> Option<String> {
        if let TokenTree::Punct(punct) = near.token() {
            return (punct.as_char() == '?').then(|| {
                "cannot return early by `?`: it must always name the message; validate in the body"
                    .to_owned()
            });
        }
        let ident = near.ident()?;
        let word = ident.to_string();
        let is = |name: &Option<Ident>| name.as_ref().is_some_and(|name| near.names_value(name));
        if word == "await" {
            Some(
                "cannot await: it is computed before the transaction; take what it needs \
                 from the message"
                    .to_owned(),
            )
        } else if matches!(word.as_str(), "return" | "break" | "continue" | "yield") {
            Some(format!(
                "cannot `{word}`: it must always name the message; validate in the body"
            ))
        } else if is(&self.variables.transaction) {
            Some(format!(
                "cannot use the transaction `{word}`: it is computed before the transaction begins"
            ))
        } else if is(&self.variables.events) {
            Some(format!(
                "is for one event of the batch, and `{word}` is all of them: write `{}`",
                self.variables.values[0]
            ))
        } else if is(&self.variables.outbox) {
            Some(format!(
                "cannot use the outbox `{word}`: it is computed before the body runs"
            ))
        } else {
            let mint = minted(near, &word)?;
            let consequence = self.purpose.if_minted();
            Some(format!(
                "is minted here: `{mint}` {consequence}; use an ID that the producer \
                 put into the message"
            ))
        }
    }

    fn unmentioned(&self, tokens: &TokenStream) -> String {
        let mut unknown = None;
        tokens::any(tokens, &mut |near| {
            unknown = near
                .ident()
                .filter(|ident| {
                    let first = ident.to_string().chars().next();
                    near.names_value(ident)
                        && !near.is_called()
                        && !near.is_punct(1, '!')
                        && first.is_some_and(|first| first.is_lowercase() || first == '_')
                })
                .map(ToString::to_string);
            unknown.is_some()
        });
        let source = self.purpose.source();
        match unknown.as_deref() {
            None => self.constant(),
            Some("self") => format!(
                "`{}` mentions `self` alone, which is no part of the message; write {}",
                self.name,
                self.example()
            ),
            Some(shared) if self.variables.shared.iter().any(|value| value == shared) => {
                let event = &self.variables.values[0];
                format!(
                    "`{}` names `{shared}` and not `{event}`, so all events of a batch would have the same; write {}",
                    self.name,
                    self.example()
                )
            }
            Some(unknown) => {
                if let Some(events) = &self.variables.slice {
                    return format!(
                        "no parameter `{unknown}`; if it is one of `{events}`, add `batch = \"{unknown} in {events}\"`"
                    );
                }
                let values: Vec<String> = self
                    .variables
                    .values
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                match did_you_mean(unknown, values.iter().map(String::as_str)) {
                    Some(hint) => format!("no {source} `{unknown}`{hint}"),
                    None if values.is_empty() => {
                        format!("no {source} `{unknown}`: {}", self.no_message())
                    }
                    None => format!("no {source} `{unknown}`; write {}", self.example()),
                }
            }
        }
    }

    fn constant(&self) -> String {
        if self.variables.values.is_empty() {
            return self.no_message();
        }
        format!(
            "`{}` mentions no {}, so {}; write {}",
            self.name,
            self.purpose.source(),
            self.purpose.if_constant(),
            self.example()
        )
    }

    fn no_message(&self) -> String {
        format!(
            "`{}` comes from the message; take it as a parameter after the \
             transaction, e.g. `event: &PaymentCaptured`",
            self.name
        )
    }

    fn example(&self) -> String {
        let name = self.name;
        match (self.purpose, self.variables.values.first()) {
            (Purpose::EventOrdering, Some(field)) if field == "self" => {
                format!("e.g. `{name} = \"self.0\"`")
            }
            (Purpose::EventOrdering, Some(field)) => format!("e.g. `{name} = \"{field}\"`"),
            _ => example(name, self.variables),
        }
    }
}

/// `&(expression)`, underlined where the user wrote it; in parentheses, so that an operator does
/// not reach beyond it.
///
/// Each part of a tuple is borrowed by itself: to make the tuple would move what a parameter only
/// lends.
fn borrowed(expr: &Expr) -> TokenStream {
    let parts = match expr {
        Expr::Paren(paren) => return borrowed(&paren.expr),
        Expr::Group(group) => return borrowed(&group.expr),
        Expr::Tuple(tuple) if !tuple.elems.is_empty() => {
            let parts = tuple.elems.iter().map(borrowed);
            quote!(#(#parts,)*)
        }
        other => other.to_token_stream(),
    };
    let mut spans = expr
        .to_token_stream()
        .into_iter()
        .map(|token| Span::mixed_site().located_at(token.span()));
    let first = spans.next().unwrap_or_else(Span::mixed_site);
    let mut reference = Punct::new('&', Spacing::Alone);
    reference.set_span(first);
    let mut parenthesized = Group::new(Delimiter::Parenthesis, parts);
    parenthesized.set_span(spans.last().unwrap_or(first));
    quote!(#reference #parenthesized)
}

/// An empty literal among the parts of a tuple.
fn empty_part(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Paren(paren) => empty_part(&paren.expr),
        Expr::Group(group) => empty_part(&group.expr),
        Expr::Tuple(tuple) => tuple.elems.iter().find_map(empty_part),
        Expr::Lit(literal) => {
            let empty = match &literal.lit {
                Lit::Str(text) => text.value().is_empty(),
                Lit::ByteStr(bytes) => bytes.value().is_empty(),
                _ => false,
            };
            empty.then_some(expr)
        }
        _ => None,
    }
}

/// What to write, in the names of this handler's own parameters.
pub(super) fn example(name: &Ident, variables: &Variables) -> String {
    match variables.values.first() {
        Some(value) => format!("e.g. `{name} = \"{value}.id\"`"),
        None => format!("e.g. `{name} = \"event.id\"`"),
    }
}
