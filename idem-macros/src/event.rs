//! `#[derive(Event)]`: a type declares the topic and the ordering key of its events.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::quote;
use syn::{Data, DeriveInput, LitStr, Path, parse_quote};

use crate::attr::{Args, Macro};
use crate::check::expression::{Purpose, Variables, expression};
use crate::check::value;
use crate::errors::Errors;
use crate::model::Expression;
use crate::tokens::{Near, text};

struct Event {
    runtime: Path,
    topic: LitStr,
    name: LitStr,
    key: Option<Expression>,
}

// Input:  #[derive(Event)] #[event(topic = "orders.placed", key = "order_id")]
//         struct OrderPlaced { .. }
// Output: impl Event for OrderPlaced { const TOPIC ..; const TYPE ..; fn ordering_key(&self) .. }
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::default();
    match check(&input, &mut errors) {
        Some(event) if errors.is_empty() => expand(&input, &event),
        _ => errors.into_tokens(),
    }
}

fn check(input: &DeriveInput, errors: &mut Errors) -> Option<Event> {
    if let Data::Union(data) = &input.data {
        errors.on(
            data.union_token,
            "`Event` does not fit a union: an event is serialised; derive it on a struct \
             or an enum",
        );
        return None;
    }
    let mut attrs = input.attrs.iter().filter(|attr| Macro::Event.is(attr));
    let Some(attr) = attrs.next() else {
        let ident = &input.ident;
        errors.on(
            ident,
            format!("`{ident}` has no topic; add `#[event(topic = \"orders.placed\")]`"),
        );
        return None;
    };
    if let Some(second) = attrs.next() {
        errors.on(second, "`#[event]` stands twice on one type; keep one");
    }
    let mut args = Args::of_attribute(Macro::Event, attr, errors);
    let runtime = args
        .take("crate")
        .and_then(|arg| value::crate_path(&arg, errors));
    let name = match args.take("type") {
        Some(arg) => value::topic(&arg, "OrderPlaced", errors)?,
        None => LitStr::new(&input.ident.to_string(), input.ident.span()),
    };
    let key = args.take("key").and_then(|arg| {
        let names = Variables {
            values: fields(&input.data),
            ..Variables::default()
        };
        expression(&arg, Purpose::EventOrdering, &names, errors)
    });
    let Some(topic) = args.take("topic") else {
        if !args.broken {
            errors.at(
                args.span,
                "missing argument `topic`, e.g. `#[event(topic = \"orders.placed\")]`",
            );
        }
        return None;
    };
    let topic = value::topic(&topic, "orders.placed", errors)?;
    Some(Event {
        runtime: runtime.unwrap_or_else(|| parse_quote!(::idem_runtime)),
        topic,
        name,
        key,
    })
}

/// What a key may mention: the fields by their names, and `self`.
fn fields(data: &Data) -> Vec<Ident> {
    let mut names = match data {
        Data::Struct(data) => data
            .fields
            .iter()
            .filter_map(|field| field.ident.clone())
            .collect(),
        _ => Vec::new(),
    };
    names.push(Ident::new("self", Span::call_site()));
    names
}

/// `order_id` becomes `self.order_id`, wherever a field stands as a value.
fn on_self(tokens: TokenStream, data: &Data) -> TokenStream {
    let fields = fields(data);
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut out = TokenStream::new();
    for at in 0..trees.len() {
        let near = Near::new(&trees, at);
        match &trees[at] {
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), on_self(group.stream(), data));
                inner.set_span(group.span());
                out.extend([TokenTree::Group(inner)]);
            }
            TokenTree::Ident(ident)
                if ident != "self" && fields.iter().any(|field| near.names_value(field)) =>
            {
                let this = Ident::new("self", Span::call_site().located_at(ident.span()));
                out.extend(quote!(#this.#ident));
            }
            other => out.extend([other.clone()]),
        }
    }
    out
}

fn expand(input: &DeriveInput, event: &Event) -> TokenStream {
    let Event {
        runtime,
        topic,
        name,
        key,
    } = event;
    let ident = &input.ident;
    let mut generics = input.generics.clone();
    if generics.type_params().next().is_some() {
        // What an event must be is not implied in an impl that is generic.
        generics
            .make_where_clause()
            .predicates
            .push(parse_quote!(Self: #runtime::__private::Serialize));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let key_text = key
        .as_ref()
        .map_or_else(|| "-".to_owned(), |key| text(&key.tokens));
    let key = match key {
        None => quote!(::core::option::Option::None),
        Some(key) => {
            let key = on_self(key.borrowed.clone(), &input.data);
            quote!(::core::option::Option::Some(#runtime::__private::ordering_key(#key)))
        }
    };
    quote! {
        #[automatically_derived]
        impl #impl_generics #runtime::Event for #ident #type_generics #where_clause {
            const TOPIC: &'static ::core::primitive::str = #topic;
            const TYPE: &'static ::core::primitive::str = #name;
            const ORDERING_KEY: &'static ::core::primitive::str = #key_text;
            fn ordering_key(&self) -> ::core::option::Option<#runtime::OrderingKey> { #key }
        }
    }
}
