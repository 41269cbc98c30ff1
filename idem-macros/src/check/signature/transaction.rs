//! The first parameter: the transaction, and what is taken for one.

use proc_macro2::Ident;
use syn::{Pat, PatType, Signature, Type};

use crate::check::expression::Variables;
use crate::check::types::{is_path_to, pointee, ungrouped};
use crate::errors::Errors;
use crate::function::bindings;
use crate::model::Transaction;
use crate::tokens;

const CONNECTIONS: [&str; 3] = ["PgConnection", "MySqlConnection", "SqliteConnection"];

pub(super) fn transaction(
    sig: &Signature,
    typed: &mut impl Iterator<Item = PatType>,
    names: &mut Variables,
    errors: &mut Errors,
) -> Option<Transaction> {
    let Some(param) = typed.next() else {
        errors.on(
            &sig.ident,
            format!(
                "`{}` has no transaction: its first parameter must be one, e.g. `tx: &mut \
                 PgConnection`",
                sig.ident
            ),
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
            errors.on(
                other,
                "the transaction needs a name, e.g. `tx`: callers pass a pool or a \
                 transaction in its place",
            );
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

/// Why the first parameter can't be a transaction, if it can't.
fn not_a_connection(param: &PatType) -> Option<String> {
    let ty = ungrouped(&param.ty);
    let inner = pointee(ty);
    let connection = connection_of(inner);
    if tokens::contains_word(ty, "Begin") {
        return Some(
            "another attribute of `idem_runtime` has rewritten this function; import \
             `idempotent` and `outbox` under their own \
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
            "a handler takes `&mut {connection}`, not a `Transaction`: its body could \
             commit or roll back what is not its own; \
             callers may pass `&mut Transaction`"
        ));
    }
    if is_path_to(inner, &["Pool", "PgPool", "MySqlPool", "SqlitePool"]) {
        return Some(format!(
            "a handler takes the transaction, not the pool: write `&mut \
             {connection}`; callers pass the pool in its place"
        ));
    }
    if is_path_to(inner, &["PoolConnection"]) {
        return Some(format!(
            "a handler takes `&mut {connection}`, not a `PoolConnection`; callers may \
             pass one in its place"
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
        _ if is_path_to(inner, &CONNECTIONS) => Some(format!(
            "the transaction is borrowed mutably: write `&mut {connection}`"
        )),
        _ => Some(
            "the first parameter must be the transaction, e.g. `tx: &mut PgConnection`; \
             put it before this one"
                .to_owned(),
        ),
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

pub(super) fn is_connection(ty: &Type, first: Option<&Type>) -> bool {
    let Type::Reference(reference) = ungrouped(ty) else {
        return false;
    };
    reference.mutability.is_some()
        && (is_path_to(&reference.elem, &CONNECTIONS)
            || is_path_to(&reference.elem, &["Transaction"])
            || first.is_some_and(|first| tokens::text(first) == tokens::text(&reference.elem)))
}
