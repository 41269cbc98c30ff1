//! Reads the function under an attribute and drives its transformation. The body stays raw tokens.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Pat, PatType, Path, Signature, Visibility};

use crate::attr::{Args, Macro};
use crate::errors::Errors;
use crate::{check, expand};

/// An async function as it was written, without the attributes of this crate.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Group,
    /// The other attribute of this crate, which stood among `attrs`.
    pub(crate) absorbed: Option<Path>,
}

/// The two attributes of a function, of which at least one stands there.
pub(crate) struct Attributes {
    pub(crate) idempotent: Option<Args>,
    pub(crate) outbox: Option<Args>,
}

// Input:  #[idempotent(..)] #[outbox] async fn f(tx: &mut C, ..) -> Result<T, E> { .. }
// Output:                             async fn f(tx: impl Begin<C>, ..) -> Result<Outcome<T>, Error<E>> { .. }
pub(crate) fn transform(attribute: Macro, args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::read(attribute, args, Span::call_site(), &mut errors);
    let mut function = match syn::parse2::<Function>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            errors.push(check::item(attribute, &item).unwrap_or(error));
            let mut tokens = errors.into_tokens();
            tokens.extend(item);
            return tokens;
        }
    };
    let attributes = collect(attribute, args, &mut function, &mut errors);
    match check::handler(&function, attributes, &mut errors) {
        Some((shape, outline, terms)) if errors.is_empty() => {
            expand::wrapped(&shape, &outline, &terms)
        }
        Some((shape, outline, _)) => expand::fallback(&shape, &outline, errors),
        None => expand::refused(&function, errors),
    }
}

/// Takes the other attribute of this crate from the function, whichever of the two stands first.
fn collect(
    attribute: Macro,
    args: Args,
    function: &mut Function,
    errors: &mut Errors,
) -> Attributes {
    let mut found = match attribute {
        Macro::Idempotent => Attributes {
            idempotent: Some(args),
            outbox: None,
        },
        _ => Attributes {
            idempotent: None,
            outbox: Some(args),
        },
    };
    let (ours, others) = std::mem::take(&mut function.attrs)
        .into_iter()
        .partition::<Vec<_>, _>(|attr| Macro::Idempotent.is(attr) || Macro::Outbox.is(attr));
    function.attrs = others;
    for attr in ours {
        let (other, slot) = if Macro::Idempotent.is(&attr) {
            (Macro::Idempotent, &mut found.idempotent)
        } else {
            (Macro::Outbox, &mut found.outbox)
        };
        function.absorbed = Some(attr.path().clone());
        if slot.is_some() {
            errors.on(
                &attr,
                format!(
                    "`{}` stands twice on one function; keep one",
                    other.display()
                ),
            );
        } else {
            *slot = Some(Args::of_attribute(other, &attr, errors));
        }
    }
    found
}

/// The variables that a pattern binds.
pub(crate) fn bindings(pat: &Pat, names: &mut Vec<Ident>) {
    match pat {
        Pat::Ident(pat) => {
            names.push(pat.ident.clone());
            if let Some((_, sub)) = &pat.subpat {
                bindings(sub, names);
            }
        }
        Pat::Tuple(pat) => pat.elems.iter().for_each(|pat| bindings(pat, names)),
        Pat::TupleStruct(pat) => pat.elems.iter().for_each(|pat| bindings(pat, names)),
        Pat::Struct(pat) => pat
            .fields
            .iter()
            .for_each(|field| bindings(&field.pat, names)),
        Pat::Slice(pat) => pat.elems.iter().for_each(|pat| bindings(pat, names)),
        Pat::Reference(pat) => bindings(&pat.pat, names),
        Pat::Paren(pat) => bindings(&pat.pat, names),
        _ => {}
    }
}

/// The variables that the patterns of some parameters bind.
pub(crate) fn bound_by<'a>(params: impl IntoIterator<Item = &'a PatType>) -> Vec<Ident> {
    let mut names = Vec::new();
    params
        .into_iter()
        .for_each(|param| bindings(&param.pat, &mut names));
    names
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = Attribute::parse_outer(input)?;
        let vis = input.parse()?;
        let sig = input.parse()?;
        match input.parse()? {
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace && input.is_empty() => {
                Ok(Function {
                    attrs,
                    vis,
                    sig,
                    body,
                    absorbed: None,
                })
            }
            other => Err(syn::Error::new(
                other.span(),
                "expected the function's body",
            )),
        }
    }
}
