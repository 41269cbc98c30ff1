//! The lifetimes that are left when the transaction is generic.

use proc_macro2::Ident;
use quote::{ToTokens, quote};
use syn::punctuated::Punctuated;
use syn::{GenericParam, PatType, Signature, Token};

use crate::function::Function;
use crate::tokens;

/// A lifetime that only the transaction had would have no use in the generated signature.
pub(super) fn without_unused_lifetimes(
    mut sig: Signature,
    function: &Function,
    params: &[PatType],
) -> Signature {
    let bounds: Vec<_> = sig
        .generics
        .params
        .iter()
        .map(ToTokens::to_token_stream)
        .collect();
    let (receiver, output, predicates, body) = (
        &sig.inputs,
        &sig.output,
        &sig.generics.where_clause,
        function.body.stream(),
    );
    let rest = quote!(#receiver #(#params)* #output #predicates #body);
    let used = |name: &Ident| {
        tokens::contains_lifetime(&rest, name)
            || bounds.iter().any(|bound| {
                // Its own declaration comes first, and is no use of it.
                let own = tokens::text(bound).starts_with(&format!("'{name}"));
                !own && tokens::contains_lifetime(bound, name)
            })
    };
    let kept: Punctuated<GenericParam, Token![,]> = std::mem::take(&mut sig.generics.params)
        .into_iter()
        .filter(
            |param| !matches!(param, GenericParam::Lifetime(param) if !used(&param.lifetime.ident)),
        )
        .collect();
    if kept.is_empty() {
        sig.generics.lt_token = None;
        sig.generics.gt_token = None;
    }
    sig.generics.params = kept;
    sig
}
