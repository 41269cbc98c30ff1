//! `#[derive(Key)]`: a newtype is the key that it wraps.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Field, Index, Member, Path, parse_quote};

use crate::attr::{Args, Macro};
use crate::check::value;
use crate::errors::Errors;

// Input:  #[derive(Key)] struct OrderId(Uuid);
// Output: impl Key for OrderId { fn name() -> String { <Uuid as Key>::name() } fn write(..) { .. } }
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::default();
    let mut runtime: Path = parse_quote!(::idem_runtime);
    for attr in input.attrs.iter().filter(|attr| Macro::Key.is(attr)) {
        let mut args = Args::of_attribute(Macro::Key, attr, &mut errors);
        if let Some(path) = args
            .take("crate")
            .and_then(|arg| value::crate_path(&arg, &mut errors))
        {
            runtime = path;
        }
    }
    match only_field(&input, &mut errors) {
        Some(field) if errors.is_empty() => expand(&input, field, &runtime),
        _ => errors.into_tokens(),
    }
}

fn only_field<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Option<&'a Field> {
    let name = &input.ident;
    match &input.data {
        Data::Struct(data) => {
            let mut fields = data.fields.iter();
            match (fields.next(), fields.next()) {
                (Some(only), None) => return Some(only),
                (None, _) => errors.on(
                    name,
                    format!(
                        "`{name}` has no field, so all of its values are one key; wrap \
                         the ID: `struct {name}(Uuid);`"
                    ),
                ),
                (Some(_), Some(second)) => errors.on(
                    second,
                    "`#[derive(Key)]` fits a struct with one field; for a key of \
                     several parts use a tuple: \
                     `key = \"(event.tenant, event.id)\"`",
                ),
            }
        }
        Data::Enum(data) => errors.on(
            data.enum_token,
            format!(
                "`#[derive(Key)]` fits a struct with one field, not an enum; implement \
                 `Key` for `{name}`, or wrap its ID"
            ),
        ),
        Data::Union(data) => {
            errors.on(
                data.union_token,
                "`#[derive(Key)]` fits a struct with one field, not a union; wrap the ID \
                 in a struct",
            );
        }
    }
    None
}

fn expand(input: &DeriveInput, field: &Field, runtime: &Path) -> TokenStream {
    let ident = &input.ident;
    let ty = &field.ty;
    let member = field
        .ident
        .clone()
        .map_or(Member::Unnamed(Index::from(0)), Member::Named);
    let mut generics = input.generics.clone();
    if generics.type_params().next().is_some() {
        generics
            .make_where_clause()
            .predicates
            .push(parse_quote!(#ty: #runtime::Key));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let span = proc_macro2::Span::call_site().located_at(ty.span());
    let inner = quote_spanned!(span=> &self.#member);
    quote! {
        #[automatically_derived]
        impl #impl_generics #runtime::Key for #ident #type_generics #where_clause {
            fn name() -> ::std::string::String { <#ty as #runtime::Key>::name() }
            fn write(&self, out: &mut #runtime::KeyWriter) { <#ty as #runtime::Key>::write(#inner, out) }
        }
    }
}
