//! The macros on arbitrary source. They never panic; what they accept, they expand to Rust; what
//! they refuse has an error that says why, beside code that still parses.

#![no_main]

#[path = "../../idem-macros/src"]
mod sources {
    pub(crate) mod attr;
    pub(crate) mod check;
    pub(crate) mod errors;
    pub(crate) mod event;
    pub(crate) mod expand;
    pub(crate) mod function;
    pub(crate) mod handler;
    pub(crate) mod key;
    pub(crate) mod model;
    pub(crate) mod tokens;
}

use libfuzzer_sys::{Corpus, fuzz_target};
use proc_macro2::{Group, TokenStream, TokenTree};
use quote::quote;
use syn::parse::Parser as _;
use syn::{Attribute, DeriveInput, File, ImplItemFn, ItemFn, ItemImpl};

// As the sources name each other.
use self::sources::{attr, check, errors, event, expand, function, handler, key, model, tokens};

/// What the bytes of an input after its first stand for when that is 0: whole tokens mutate into
/// deeper places than characters do.
const WORDS: &[&str] = include!("attributes/words.in");

/// rustc's own parser gives up on what is nested deeper.
const DEEPEST: usize = 60;

fuzz_target!(|data: &[u8]| -> Corpus {
    let source = match data.split_first() {
        Some((0, words)) => {
            let words = words
                .iter()
                .map(|&word| WORDS[usize::from(word) % WORDS.len()]);
            words.collect::<Vec<_>>().join(" ")
        }
        _ => match std::str::from_utf8(data) {
            Ok(text) => text.to_owned(),
            Err(_) => return Corpus::Reject,
        },
    };
    // By it the errors are told from the rest.
    if source.contains("compile_error") {
        return Corpus::Reject;
    }
    let Ok(tokens) = source.parse::<TokenStream>() else {
        return Corpus::Reject;
    };
    if depth(&tokens) > DEEPEST {
        return Corpus::Reject;
    }
    let Some((first, item)) = first_attribute(tokens) else {
        return Corpus::Reject;
    };
    if first.path().is_ident("derive") {
        derive(&item);
    } else {
        let attribute = if attr::Macro::Outbox.is(&first) {
            attr::Macro::Outbox
        } else {
            attr::Macro::Idempotent
        };
        let args = match &first.meta {
            syn::Meta::List(list) => list.tokens.clone(),
            _ => TokenStream::new(),
        };
        on_function(attribute, args, item);
    }
    Corpus::Keep
});

fn on_function(attribute: attr::Macro, args: TokenStream, item: TokenStream) {
    let kind = if syn::parse2::<ItemFn>(item.clone()).is_ok() {
        Kind::Function
    } else if syn::parse2::<ImplItemFn>(item.clone()).is_ok() {
        Kind::Method
    } else if syn::parse2::<ImplItemFn>(without_body(&item)).is_ok() {
        // rustc reads the body only after the macro, and says itself what is wrong there.
        Kind::UnreadBody
    } else {
        Kind::Other
    };
    check_output(&handler::transform(attribute, args, item), kind);
}

fn derive(item: &TokenStream) {
    // rustc hands a derive only what parses.
    if syn::parse2::<DeriveInput>(item.clone()).is_ok() {
        check_output(&event::derive(item.clone()), Kind::Function);
        check_output(&key::derive(item.clone()), Kind::Function);
    }
}

/// What the item under an attribute is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Function,
    Method,
    UnreadBody,
    Other,
}

fn check_output(output: &TokenStream, kind: Kind) {
    let mut errors = Vec::new();
    messages(output, &mut errors);
    assert!(
        errors.iter().all(|error| error.len() > 10),
        "an error that says nothing: {errors:?}"
    );
    let parsed = match kind {
        Kind::Function => syn::parse2::<File>(output.clone()).map(drop),
        Kind::Method => syn::parse2::<ItemImpl>(quote!(impl Handlers { #output })).map(drop),
        Kind::UnreadBody => return,
        Kind::Other => {
            assert!(!errors.is_empty(), "accepted what is no function: {output}");
            return;
        }
    };
    assert!(parsed.is_ok(), "{:?}: {output}", parsed.err());
}

fn without_body(item: &TokenStream) -> TokenStream {
    let mut trees: Vec<TokenTree> = item.clone().into_iter().collect();
    if let Some(TokenTree::Group(body)) = trees.last_mut() {
        *body = Group::new(body.delimiter(), TokenStream::new());
    }
    trees.into_iter().collect()
}

/// The messages of `compile_error!`.
fn messages(tokens: &TokenStream, found: &mut Vec<String>) {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    for (at, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Ident(ident) if ident == "compile_error" => {
                let message = trees.get(at + 2).map(ToString::to_string);
                found.extend(message);
            }
            TokenTree::Group(group) => messages(&group.stream(), found),
            _ => {}
        }
    }
}

/// The first attribute, and what stands after it.
fn first_attribute(tokens: TokenStream) -> Option<(Attribute, TokenStream)> {
    let mut trees = tokens.into_iter();
    let (hash, brackets) = (trees.next()?, trees.next()?);
    let mut first = Attribute::parse_outer
        .parse2([hash, brackets].into_iter().collect())
        .ok()?;
    let first = first.pop()?;
    // A macro's arguments are the attribute's only if rustc could read it.
    matches!(first.meta, syn::Meta::List(_) | syn::Meta::Path(_)).then(|| (first, trees.collect()))
}

fn depth(tokens: &TokenStream) -> usize {
    let groups = tokens.clone().into_iter().filter_map(|tree| match tree {
        TokenTree::Group(group) => Some(1 + depth(&group.stream())),
        _ => None,
    });
    groups.max().unwrap_or(0)
}
