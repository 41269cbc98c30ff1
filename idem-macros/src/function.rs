//! The function under an attribute, as it was written. Its body stays raw tokens.

use proc_macro2::{Delimiter, Group, Ident, TokenTree};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Pat, PatType, Path, Signature, Visibility};

use crate::attr::{Args, Macro};

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

impl Attributes {
    /// The attribute that messages name.
    pub(crate) fn name(&self) -> Macro {
        if self.idempotent.is_some() {
            Macro::Idempotent
        } else {
            Macro::Outbox
        }
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = Attribute::parse_outer(input)?;
        let vis = input.parse()?;
        let sig = input.parse()?;
        match ungrouped(input.parse()?) {
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

/// Looks through the invisible delimiters that `macro_rules!` puts around a `$body:block`.
fn ungrouped(tree: TokenTree) -> TokenTree {
    if let TokenTree::Group(group) = &tree
        && group.delimiter() == Delimiter::None
    {
        let mut inner = group.stream().into_iter();
        if let (Some(only), None) = (inner.next(), inner.next()) {
            return ungrouped(only);
        }
    }
    tree
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

/// `#[test]`, `#[tokio::test]` and their like.
pub(crate) fn is_test(attr: &Attribute) -> bool {
    ends_in(attr.path(), "test")
}

/// Whether the last segment of the path is `name`.
pub(crate) fn ends_in(path: &Path, name: &str) -> bool {
    path.segments
        .last()
        .is_some_and(|segment| segment.ident == name)
}
