//! The signature: a transaction first, parameters that stay, `Result` out.

use proc_macro2::Ident;
use quote::{ToTokens, quote};
use syn::punctuated::Punctuated;
use syn::{
    FnArg, GenericArgument, GenericParam, Pat, PatType, Path, PathArguments, PathSegment,
    ReturnType, Safety, Signature, Token, Type, parse_quote,
};

use super::Scopes;
use crate::attr::Macro;
use crate::errors::Errors;
use crate::handler::{Function, bindings};
use crate::model::{OutboxParam, Output, Shape, Side, Transaction};
use crate::tokens;

const CONNECTIONS: [&str; 3] = ["PgConnection", "MySqlConnection", "SqliteConnection"];

/// Checks the signature. The names are those that a key's expression may use, also when the signature does not fit.
pub(super) fn check(
    function: &Function,
    attribute: Macro,
    errors: &mut Errors,
) -> (Scopes, Option<Shape>) {
    let mut sig = function.sig.clone();
    qualifiers(&mut sig, attribute, errors);
    let mut names = Scopes::default();
    let mut inputs = std::mem::take(&mut sig.inputs).into_iter().peekable();
    sig.inputs
        .extend(inputs.next_if(|input| matches!(input, FnArg::Receiver(_))));
    let mut typed = inputs.filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    let tx = transaction(&sig, &mut typed, &mut names, errors);
    let mut outbox: Option<OutboxParam> = None;
    let mut params = Vec::new();
    for param in typed {
        if is_path_to(pointee(&param.ty), &["Outbox"]) {
            let parsed = outbox_param(&param, errors);
            if outbox.is_some() {
                errors.on(&param, "two `Outbox` parameters; take one over a tuple: `outbox: &mut Outbox<(First, Second)>`");
            }
            if let Pat::Ident(pat) = &*param.pat {
                names.outbox = Some(pat.ident.clone());
            }
            outbox = outbox.or(parsed);
            continue;
        }
        if let Some(tx) = &tx
            && is_connection(&param.ty, Some(&tx.connection))
        {
            let first = &tx.name;
            errors.on(
                &param.ty,
                format!(
                    "a handler has one transaction, and `{first}` is it; remove this parameter"
                ),
            );
        }
        bindings(&param.pat, &mut names.values);
        params.push(param);
    }
    let output = output(&sig, errors);
    let shape = tx.zip(output).map(|(tx, output)| Shape {
        attrs: function.attrs.clone(),
        absorbed: function.absorbed.clone(),
        vis: function.vis.clone(),
        sig: without_unused_lifetimes(sig, function, &params),
        tx,
        outbox,
        params,
        output,
        body: function.body.clone(),
    });
    (names, shape)
}

/// `async fn`, and nothing else before the name. What is wrong is taken off, so that the rest can still be emitted.
fn qualifiers(sig: &mut Signature, attribute: Macro, errors: &mut Errors) {
    let name = attribute.display();
    if let Some(constness) = sig.constness.take() {
        errors.on(constness, format!("`{name}` does not fit a `const fn`: a handler talks to a database; write `async fn`"));
    } else if sig.asyncness.is_none() && returns_future(&sig.output).is_none() {
        errors.on(
            sig.fn_token,
            format!("`{name}` needs an `async fn`: a handler awaits its transaction"),
        );
    }
    if let Some(abi) = sig.abi.take() {
        errors.on(
            abi,
            format!(
                "`{name}` does not fit an `extern` function: it becomes generic; remove `extern`"
            ),
        );
    }
    if let Safety::Unsafe(unsafety) = std::mem::take(&mut sig.safety) {
        errors.on(
            unsafety,
            format!("`{name}` does not fit an `unsafe fn`; write an `unsafe` block in the body"),
        );
    }
    sig.asyncness = sig
        .asyncness
        .or_else(|| Some(Token![async](sig.fn_token.span)));
}

fn transaction(
    sig: &Signature,
    typed: &mut impl Iterator<Item = PatType>,
    names: &mut Scopes,
    errors: &mut Errors,
) -> Option<Transaction> {
    let Some(param) = typed.next() else {
        errors.on(
            &sig.ident,
            format!("`{}` has no transaction: its first parameter must be one, e.g. `tx: &mut PgConnection`", sig.ident),
        );
        return None;
    };
    let connection = match not_a_connection(&param) {
        None => match ungrouped(&param.ty) {
            Type::Reference(reference) => (*reference.elem).clone(),
            _ => unreachable!("only `&mut C` is taken for a transaction"),
        },
        Some(message) => {
            let rest: Vec<PatType> = typed.collect();
            let misplaced = rest.iter().find(|param| is_connection(&param.ty, None));
            match misplaced {
                Some(tx) => errors.on(
                    tx,
                    "the transaction must be the first parameter; move it there",
                ),
                None => errors.on(&param.ty, message),
            }
            for param in std::iter::once(&param).chain(&rest) {
                bindings(&param.pat, &mut names.values);
            }
            return None;
        }
    };
    let (name, mutability) = match &*param.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {
            (pat.ident.clone(), pat.mutability)
        }
        other => {
            errors.on(other, "the transaction needs a name, e.g. `tx`: callers pass a pool or a transaction in its place");
            (Ident::new("tx", proc_macro2::Span::call_site()), None)
        }
    };
    names.transaction = Some(name.clone());
    Some(Transaction {
        attrs: param.attrs,
        mutability,
        name,
        connection,
    })
}

/// Why the first parameter is no transaction, if it is none.
fn not_a_connection(param: &PatType) -> Option<String> {
    let ty = ungrouped(&param.ty);
    let inner = pointee(ty);
    let connection = connection_of(inner);
    if tokens::contains_word(ty, "Begin") {
        return Some(
            "another attribute of `idem_runtime` has rewritten this function; import `idempotent` and `outbox` under their own \
             names, so that they find each other"
                .to_owned(),
        );
    }
    if is_path_to(
        inner,
        &[
            "Transaction",
            "PgTransaction",
            "MySqlTransaction",
            "SqliteTransaction",
        ],
    ) {
        return Some(format!(
            "a handler takes `&mut {connection}`, not a `Transaction`: its body could commit or roll back what is not its own; \
             callers may pass `&mut Transaction`"
        ));
    }
    if is_path_to(inner, &["Pool", "PgPool", "MySqlPool", "SqlitePool"]) {
        return Some(format!(
            "a handler takes the transaction, not the pool: write `&mut {connection}`; callers pass the pool in its place"
        ));
    }
    if is_path_to(inner, &["PoolConnection"]) {
        return Some(format!(
            "a handler takes `&mut {connection}`, not a `PoolConnection`; callers may pass one in its place"
        ));
    }
    match ty {
        Type::Reference(reference)
            if reference.mutability.is_some()
                && matches!(inner, Type::Path(_))
                && !is_path_to(inner, &["Outbox"]) =>
        {
            None
        }
        _ if is_path_to(inner, &CONNECTIONS) => Some(format!("the transaction is borrowed mutably: write `&mut {connection}`")),
        _ => Some("the first parameter must be the transaction, e.g. `tx: &mut PgConnection`; put it before this one".to_owned()),
    }
}

/// The connection type that goes with a pool's or a transaction's type, by its name.
fn connection_of(ty: &Type) -> &'static str {
    let text = tokens::text(ty);
    if text.contains("MySql") {
        "MySqlConnection"
    } else if text.contains("Sqlite") {
        "SqliteConnection"
    } else {
        "PgConnection"
    }
}

fn is_connection(ty: &Type, first: Option<&Type>) -> bool {
    let Type::Reference(reference) = ungrouped(ty) else {
        return false;
    };
    reference.mutability.is_some()
        && (is_path_to(&reference.elem, &CONNECTIONS)
            || is_path_to(&reference.elem, &["Transaction"])
            || first.is_some_and(|first| tokens::text(first) == tokens::text(&reference.elem)))
}

fn outbox_param(param: &PatType, errors: &mut Errors) -> Option<OutboxParam> {
    let Type::Reference(reference) = ungrouped(&param.ty) else {
        errors.on(
            &param.ty,
            "the outbox is borrowed: write `outbox: &mut Outbox<E>`",
        );
        return None;
    };
    if reference.mutability.is_none() {
        errors.on(
            &param.ty,
            "emitting changes the outbox: write `&mut Outbox<E>`",
        );
    }
    if let Pat::Wild(wild) = &*param.pat {
        errors.on(
            wild,
            "an outbox without a name emits nothing; name it `outbox`, or remove it",
        );
    }
    let arguments = last_segment(&reference.elem).and_then(type_arguments);
    let Some([events]) = arguments.as_deref() else {
        errors.on(
            &param.ty,
            "name what may be emitted: `&mut Outbox<OrderPlaced>`, or a tuple of event types",
        );
        return None;
    };
    Some(OutboxParam {
        pat: (*param.pat).clone(),
        ty: (*param.ty).clone(),
        events: (*events).clone(),
    })
}

fn output(sig: &Signature, errors: &mut Errors) -> Option<Output> {
    let why = "an `Err` is what rolls the transaction back";
    let ReturnType::Type(_, ty) = &sig.output else {
        errors.on(
            &sig.ident,
            format!("`{}` must return `Result<T, E>`: {why}", sig.ident),
        );
        return None;
    };
    if let Some(future) = returns_future(&sig.output) {
        errors.on(future, "write `async fn` that returns the `Result` itself: the body must run inside of the transaction");
        return None;
    }
    let ty = ungrouped(ty);
    let Some(segment) =
        last_segment(ty).filter(|segment| segment.ident.to_string().ends_with("Result"))
    else {
        errors.on(ty, format!("a handler returns `Result<T, E>`: {why}"));
        return None;
    };
    let (ok, err) = match type_arguments(segment).unwrap_or_default().as_slice() {
        [ok, err] if segment.ident == "Result" => {
            (Side::Written((*ok).clone()), Side::Written((*err).clone()))
        }
        [ok] if segment.ident == "Result" => {
            (Side::Written((*ok).clone()), Side::Alias(ty.clone()))
        }
        _ => (Side::Alias(ty.clone()), Side::Alias(ty.clone())),
    };
    if let Side::Written(err) = &err
        && tokens::contains_word(err, "impl")
    {
        errors.on(
            err,
            "the error needs a name: write its type in place of `impl Trait`",
        );
        return None;
    }
    let opaque = tokens::contains_word(ty, "impl");
    let mut inferred = ty.clone();
    infer_opaque(&mut inferred);
    Some(Output {
        result: inferred.to_token_stream(),
        ok,
        err,
        opaque,
    })
}

/// `impl Future` or `Pin<Box<dyn Future>>`.
fn returns_future(output: &ReturnType) -> Option<&Type> {
    match output {
        ReturnType::Type(_, ty)
            if tokens::contains_word(ty, "Future")
                && (matches!(**ty, Type::ImplTrait(_)) || is_path_to(ty, &["Pin", "Box"])) =>
        {
            Some(ty)
        }
        ReturnType::Type(_, ty) if is_path_to(ty, &["BoxFuture", "LocalBoxFuture"]) => Some(ty),
        _ => None,
    }
}

pub(super) fn is_rewritten_by_async_trait(sig: &Signature) -> bool {
    sig.generics
        .lifetimes()
        .any(|param| param.lifetime.ident == "async_trait")
}

/// `impl Trait` has no name that the body could be checked against: `_` takes its place.
fn infer_opaque(ty: &mut Type) {
    match ty {
        Type::ImplTrait(_) => *ty = parse_quote!(_),
        Type::Path(path) => {
            for segment in &mut path.path.segments {
                if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
                    for argument in &mut arguments.args {
                        if let GenericArgument::Type(ty) = argument {
                            infer_opaque(ty);
                        }
                    }
                }
            }
        }
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(infer_opaque),
        Type::Reference(reference) => infer_opaque(&mut reference.elem),
        Type::Array(array) => infer_opaque(&mut array.elem),
        Type::Paren(paren) => infer_opaque(&mut paren.elem),
        Type::Group(group) => infer_opaque(&mut group.elem),
        _ => {}
    }
}

/// A lifetime that only the transaction had would have no use in the generated signature.
fn without_unused_lifetimes(
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

/// Looks through the invisible delimiters that `macro_rules!` puts around a type, and through parentheses.
pub(super) fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        other => other,
    }
}

/// What a reference points to; any other type as it is.
fn pointee(ty: &Type) -> &Type {
    match ungrouped(ty) {
        Type::Reference(reference) => ungrouped(&reference.elem),
        other => other,
    }
}

pub(super) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ungrouped(ty) {
        Type::Path(path) => last_of(&path.path),
        _ => None,
    }
}

fn last_of(path: &Path) -> Option<&PathSegment> {
    path.segments.last()
}

pub(super) fn is_path_to(ty: &Type, names: &[&str]) -> bool {
    last_segment(ty).is_some_and(|segment| names.iter().any(|name| segment.ident == name))
}

/// The types between `<` and `>`.
pub(super) fn type_arguments(segment: &PathSegment) -> Option<Vec<&Type>> {
    match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => Some(
            arguments
                .args
                .iter()
                .filter_map(|argument| match argument {
                    GenericArgument::Type(ty) => Some(ty),
                    _ => None,
                })
                .collect(),
        ),
        _ => None,
    }
}
