//! Every rule and every message: what a function and its arguments must be, and what to write
//! instead.

mod arguments;
mod batch;
mod duration;
pub(crate) mod expression;
mod handler_type;
mod minted;
mod publish;
mod scope;
mod signature;
mod types;
pub(crate) mod value;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::Error;

use crate::attr::Macro;
use crate::errors::Errors;
use crate::function::{Attributes, Function, ends_in, is_test};
use crate::model::{Outline, Shape, Terms};

/// Checks a function and the arguments of its attributes; `None` if its signature does not fit.
pub(crate) fn handler(
    function: &Function,
    attributes: Attributes,
    errors: &mut Errors,
) -> Option<(Shape, Outline, Terms)> {
    if let Err(error) = is_handler(function, attributes.name()) {
        errors.push(error);
        return None;
    }
    let (names, shape) = signature::check(function, attributes.name(), errors);
    let (outline, terms) = arguments::check(function, attributes, &names, shape.as_ref(), errors);
    Some((shape?, outline, terms))
}

/// Functions that look like handlers and are something else.
fn is_handler(function: &Function, attribute: Macro) -> Result<(), Error> {
    let name = attribute.display();
    let sig = &function.sig;
    if sig.ident == "main"
        || function
            .attrs
            .iter()
            .any(|attr| ends_in(attr.path(), "main"))
    {
        return Err(Error::new(
            sig.ident.span(),
            format!(
                "`main` handles no message: put `{name}` on the function that does, \
                 and call that from `main`"
            ),
        ));
    }
    if let Some(test) = function.attrs.iter().find(|attr| is_test(attr)) {
        return Err(Error::new_spanned(
            test,
            format!(
                "a test is no handler: put `{name}` on the handler, and call that from the test"
            ),
        ));
    }
    if signature::is_rewritten_by_async_trait(sig) {
        return Err(Error::new(
            sig.ident.span(),
            format!(
                "`#[async_trait]` rewrote `{ident}` before `{name}` could read it; \
                 move the body into a free async fn with `{name}`, and call that from `{ident}`",
                ident = sig.ident,
            ),
        ));
    }
    Ok(())
}

/// Says what an item is that did not parse as a function with a body; `None` when it began as a
/// function.
pub(crate) fn item(attribute: Macro, tokens: &TokenStream) -> Option<Error> {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut word = None;
    for (at, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Ident(ident) => match ident.to_string().as_str() {
                "pub" | "unsafe" | "default" | "async" => {}
                "const" | "extern" if trees[at..].iter().any(|tree| is_word(tree, "fn")) => {}
                _ => {
                    word = Some(ident);
                    break;
                }
            },
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
            _ => {}
        }
    }
    let word = word?;
    let what = match word.to_string().as_str() {
        "struct" => "a struct",
        "enum" => "an enum",
        "union" => "a union",
        "trait" => "a trait",
        "impl" => "an impl block",
        "mod" => "a module",
        "type" => "a type alias",
        "use" => "an import",
        "static" => "a static",
        "const" => "a constant",
        "extern" => "a foreign block",
        "fn" if trees.last().is_some_and(
            |last| matches!(last, TokenTree::Punct(punct) if punct.as_char() == ';'),
        ) =>
        {
            return Some(Error::new(
                word.span(),
                format!(
                    "`{}` wraps a body, and this function has none; put it on a free \
                     async fn or an inherent method",
                    attribute.display()
                ),
            ));
        }
        _ => return None,
    };
    let place = if word == "impl" {
        "on the method that handles a message"
    } else {
        "on an async fn that handles a message"
    };
    Some(Error::new(
        word.span(),
        format!(
            "`{}` does not fit {what}; put it {place}",
            attribute.display()
        ),
    ))
}

fn is_word(tree: &TokenTree, word: &str) -> bool {
    matches!(tree, TokenTree::Ident(ident) if ident == word)
}
