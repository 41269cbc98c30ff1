//! The paths that a file names, read from its tokens.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::source::Module;

/// A path of this crate that a file names, from the crate's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The module in which it stands. It can be one inside the file.
    pub(crate) within: Module,
    /// What it names. The last segment may be an item or a module; `*` is a glob.
    pub(crate) target: Module,
    /// The name by which `use` brings it into `within`.
    pub(crate) imported_as: Option<String>,
    /// Whether it is a `pub use`.
    pub(crate) reexported: bool,
}

/// Finds every path in `tokens`, the text of `module`, that begins with `crate`, `self`, `super` or
/// the name of a module that the text declares.
pub(crate) fn named(module: &Module, tokens: TokenStream) -> Vec<Named> {
    let mut found = Vec::new();
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    walk(module, &BTreeSet::new(), &tokens, &mut found);
    found
}

/// `outer` holds the modules that are declared around these tokens: they keep their names in the
/// blocks of the module.
fn walk(module: &Module, outer: &BTreeSet<String>, tokens: &[TokenTree], found: &mut Vec<Named>) {
    let children: BTreeSet<String> = outer.union(&children(tokens)).cloned().collect();
    let mut name = |path: &[String], imported_as: Option<String>, reexported| {
        if let Some(target) = absolute(module, path, &children) {
            found.push(Named {
                within: module.clone(),
                target,
                imported_as,
                reexported,
            });
        }
    };
    let mut inside = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_ident(tokens, at, "use") {
            let end = (at..tokens.len()).find(|&at| is_punct(tokens, at, ';'));
            let end = end.unwrap_or(tokens.len());
            let mut leaves = Vec::new();
            tree(&tokens[at + 1..end], &[], &mut leaves);
            for (path, alias) in leaves {
                name(&path, Some(alias), is_public(tokens, at));
            }
            at = end;
        } else if let Some((path, end)) = expression_path(tokens, at) {
            name(&path, None, false);
            at = end;
        } else {
            if let TokenTree::Group(group) = &tokens[at] {
                let declares = at >= 2 && is_ident(tokens, at - 2, "mod");
                let inner = declares.then(|| ident(tokens, at - 1)).flatten();
                inside.push((inner, contents(group)));
            }
            at += 1;
        }
    }
    for (inner, tokens) in inside {
        match inner {
            // A module's tests may import whatever they like.
            Some(inner) if inner == "tests" => {}
            Some(inner) => {
                let within = [module.as_slice(), &[inner]].concat();
                walk(&within, &BTreeSet::new(), &tokens, found);
            }
            None => walk(module, &children, &tokens, found),
        }
    }
}

/// The names in `mod name;` and `mod name { .. }`.
fn children(tokens: &[TokenTree]) -> BTreeSet<String> {
    (0..tokens.len())
        .filter(|&at| is_ident(tokens, at, "mod"))
        .filter_map(|at| ident(tokens, at + 1))
        .collect()
}

/// The leaves of what stands between `use` and `;`: each one's path, and its name here.
fn tree(tokens: &[TokenTree], before: &[String], leaves: &mut Vec<(Vec<String>, String)>) {
    let mut path = before.to_vec();
    let mut name = None;
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                for branch in contents(group).split(|token| is(token, ',')) {
                    if !branch.is_empty() {
                        tree(branch, &path, leaves);
                    }
                }
                return;
            }
            TokenTree::Ident(word) if word == "as" => {
                name = ident(tokens, at + 1);
                at += 1;
            }
            // `use a::b::{self}` brings in `b`.
            TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == '*' => path.push("*".into()),
            _ => {}
        }
        at += 1;
    }
    if let Some(last) = path.last().cloned() {
        leaves.push((path, name.unwrap_or(last)));
    }
}

/// `a::b::c` with at least one `::`, and where it ends.
fn expression_path(tokens: &[TokenTree], start: usize) -> Option<(Vec<String>, usize)> {
    if start > 0
        && (is_punct(tokens, start - 1, ':') && start > 1 && is_punct(tokens, start - 2, ':'))
    {
        return None;
    }
    let mut path = vec![ident(tokens, start)?];
    let mut at = start + 1;
    while is_punct(tokens, at, ':') && is_punct(tokens, at + 1, ':') {
        let Some(segment) = ident(tokens, at + 2) else {
            break;
        };
        path.push(segment);
        at += 3;
    }
    (path.len() > 1).then_some((path, at))
}

/// The same path from the crate's root, or nothing where it is not one of this crate.
fn absolute(module: &Module, path: &[String], children: &BTreeSet<String>) -> Option<Module> {
    let (first, mut rest) = path.split_first()?;
    let mut from = match first.as_str() {
        "crate" => Vec::new(),
        "self" => module.clone(),
        "super" => parent(module),
        child if children.contains(child) => [module.as_slice(), &path[..1]].concat(),
        _ => return None,
    };
    while let Some(("super", after)) = rest.split_first().map(|(word, rest)| (word.as_str(), rest))
    {
        from = parent(&from);
        rest = after;
    }
    from.extend_from_slice(rest);
    Some(from)
}

fn parent(module: &Module) -> Module {
    module[..module.len().saturating_sub(1)].to_vec()
}

fn is_public(tokens: &[TokenTree], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
    match before(1) {
        Some(TokenTree::Ident(word)) => word == "pub",
        Some(TokenTree::Group(group)) => {
            group.delimiter() == Delimiter::Parenthesis
                && matches!(before(2), Some(TokenTree::Ident(word)) if word == "pub")
        }
        _ => false,
    }
}

fn contents(group: &proc_macro2::Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

fn ident(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at)? {
        TokenTree::Ident(word) => Some(word.to_string()),
        _ => None,
    }
}

fn is_ident(tokens: &[TokenTree], at: usize, word: &str) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Ident(found)) if found == word)
}

fn is_punct(tokens: &[TokenTree], at: usize, punct: char) -> bool {
    tokens.get(at).is_some_and(|token| is(token, punct))
}

fn is(token: &TokenTree, punct: char) -> bool {
    matches!(token, TokenTree::Punct(found) if found.as_char() == punct)
}
