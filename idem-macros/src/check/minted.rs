//! Expressions that make a new value each time they run.

use proc_macro2::TokenTree;

use crate::tokens::Near;

/// The function, if this token is the name of one, that makes a new value each time it is called.
pub(super) fn minted(near: &Near<'_>, word: &str) -> Option<String> {
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
