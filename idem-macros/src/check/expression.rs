//! Expressions over a handler's parameters: the key, the fingerprint, the ordering key.

use proc_macro2::{Delimiter, Group, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Error, Expr, ExprLit, Ident, Lit, LitStr};

use super::value::ungrouped;
use crate::attr::Arg;
use crate::errors::{Errors, did_you_mean};
use crate::model::Expression;
use crate::tokens::{self, Near};

/// The variables that an expression may use, and those it may not.
#[derive(Default)]
pub(crate) struct Scopes {
    /// The bindings of the parameters that stay.
    pub(crate) values: Vec<Ident>,
    pub(crate) transaction: Option<Ident>,
    pub(crate) outbox: Option<Ident>,
}

/// Reads the expression of an argument that must differ from message to message.
pub(crate) fn expression(arg: &Arg, scopes: &Scopes, errors: &mut Errors) -> Option<Expression> {
    let expression = read(arg, scopes).and_then(|expression| {
        rules(arg, &expression, scopes)?;
        Ok(expression)
    });
    expression.map_err(|error| errors.push(error)).ok()
}

fn read(arg: &Arg, scopes: &Scopes) -> Result<Expression, Error> {
    match arg.value.as_ref().map(ungrouped) {
        Some(Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        })) => parse(arg, literal, scopes),
        Some(Expr::Lit(literal)) => Err(Error::new_spanned(literal, constant(arg, scopes))),
        Some(value) => Ok(Expression {
            tokens: value.to_token_stream(),
            borrowed: borrowed(value),
        }),
        None => Err(Error::new_spanned(&arg.name, constant(arg, scopes))),
    }
}

fn parse(arg: &Arg, literal: &LitStr, scopes: &Scopes) -> Result<Expression, Error> {
    let name = &arg.name;
    let value = literal.value();
    if value.trim().is_empty() {
        return Err(Error::new_spanned(
            literal,
            format!("`{name}` is empty; write {}", example(&arg.name, scopes)),
        ));
    }
    // Resolved where the attribute stands, located on the literal: rustc would otherwise offer to replace all of it.
    let span = Span::call_site().located_at(literal.span());
    let not_an_expression = || {
        let example = example(&arg.name, scopes);
        Error::new_spanned(
            literal,
            format!("`{value}` is not an expression; write {example}"),
        )
    };
    let tokens: TokenStream = value.parse().map_err(|_| not_an_expression())?;
    let expr: Expr =
        syn::parse2(tokens::located_at(tokens, span)).map_err(|_| not_an_expression())?;
    if let Expr::Lit(_) = expr {
        return Err(Error::new_spanned(literal, constant(arg, scopes)));
    }
    Ok(Expression {
        borrowed: borrowed(&expr),
        tokens: expr.into_token_stream(),
    })
}

/// `&(expression)`, underlined where the user wrote it; in parentheses, so that an operator does not reach beyond it.
///
/// Each part of a tuple is borrowed by itself: to make the tuple would move what a parameter only lends.
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

fn rules(arg: &Arg, expression: &Expression, scopes: &Scopes) -> Result<(), Error> {
    let name = &arg.name;
    let mut found = None;
    tokens::any(&expression.tokens, &mut |near| {
        found = refused(near, scopes).map(|reason| (near.token().span(), reason));
        found.is_some()
    });
    if let Some((span, reason)) = found {
        return Err(Error::new(span, format!("`{name}` {reason}")));
    }
    if !scopes
        .values
        .iter()
        .any(|value| tokens::mentions(&expression.tokens, value))
    {
        return Err(Error::new_spanned(
            &expression.tokens,
            unmentioned(arg, expression, scopes),
        ));
    }
    Ok(())
}

/// Why a token has no place in an expression that names a message; reads on after the argument's name.
fn refused(near: &Near<'_>, scopes: &Scopes) -> Option<String> {
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
        Some("cannot await: it is computed before the transaction; take what it needs from the message".to_owned())
    } else if matches!(word.as_str(), "return" | "break" | "continue" | "yield") {
        Some(format!(
            "cannot `{word}`: it must always name the message; validate in the body"
        ))
    } else if is(&scopes.transaction) {
        Some(format!(
            "cannot use the transaction `{word}`: it is computed before the transaction begins"
        ))
    } else if is(&scopes.outbox) {
        Some(format!(
            "cannot use the outbox `{word}`: it is computed before the body runs"
        ))
    } else {
        minted(near, &word).map(|mint| {
            format!(
                "is minted here: `{mint}` differs on every delivery, so no duplicate would be recognised; \
                 use the ID that the producer put into the message"
            )
        })
    }
}

/// The function that makes a new value each time it is called.
fn minted(near: &Near<'_>, word: &str) -> Option<String> {
    let qualified = |word: &str| match near.get(-3) {
        Some(TokenTree::Ident(owner)) if near.in_path() => format!("{owner}::{word}()"),
        _ => format!("{word}()"),
    };
    match word {
        "new_v4" | "new_v7" | "now_v1" | "now_v6" | "now_v7" | "now_utc" | "now_local"
        | "thread_rng"
            if !near.is_member() =>
        {
            Some(qualified(word))
        }
        "now" if near.is_called() && near.in_path() => Some(qualified(word)),
        "new" | "generate" if near.is_called() && qualified(word).starts_with("Ulid::") => {
            Some(qualified(word))
        }
        "rand" | "fastrand" | "getrandom" if near.opens_path() && !near.in_path() => {
            Some(word.to_owned())
        }
        "nanoid" if near.is_punct(1, '!') => Some("nanoid!()".to_owned()),
        "random" if near.is_called() && !near.is_member() && !near.in_path() => {
            Some("random()".to_owned())
        }
        _ => None,
    }
}

fn unmentioned(arg: &Arg, expression: &Expression, scopes: &Scopes) -> String {
    let mut unknown = None;
    tokens::any(&expression.tokens, &mut |near| {
        unknown = near
            .ident()
            .filter(|ident| {
                near.names_value(ident)
                    && !near.is_called()
                    && !near.is_punct(1, '!')
                    && ident
                        .to_string()
                        .starts_with(|first: char| first.is_lowercase() || first == '_')
                    && *ident != "self"
            })
            .map(ToString::to_string);
        unknown.is_some()
    });
    let Some(unknown) = unknown else {
        return constant(arg, scopes);
    };
    let values: Vec<String> = scopes.values.iter().map(ToString::to_string).collect();
    match (
        did_you_mean(&unknown, values.iter().map(String::as_str)),
        values.as_slice(),
    ) {
        (Some(hint), _) => format!("no parameter `{unknown}`{hint}"),
        (None, []) => format!("no parameter `{unknown}`: {}", no_message(arg)),
        (None, _) => format!(
            "no parameter `{unknown}`; write {}",
            example(&arg.name, scopes)
        ),
    }
}

fn constant(arg: &Arg, scopes: &Scopes) -> String {
    let name = &arg.name;
    if scopes.values.is_empty() {
        return no_message(arg);
    }
    let consequence = match name.to_string().as_str() {
        "fingerprint" => "two different messages could not be told apart",
        _ => "every delivery but the first would be a duplicate",
    };
    format!(
        "`{name}` mentions no parameter, so {consequence}; write {}",
        example(&arg.name, scopes)
    )
}

fn no_message(arg: &Arg) -> String {
    let name = &arg.name;
    format!(
        "`{name}` comes from the message; take it as a parameter after the transaction, e.g. `event: &PaymentCaptured`"
    )
}

/// What to write, in the names of this handler's own parameters.
pub(super) fn example(name: &Ident, scopes: &Scopes) -> String {
    match scopes.values.first() {
        Some(value) => format!("e.g. `{name} = \"{value}.id\"`"),
        None => format!("e.g. `{name} = \"event.id\"`"),
    }
}
