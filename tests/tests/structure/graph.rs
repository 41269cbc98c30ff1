//! Who imports whom, and the circles in that.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::paths::{Named, named};
use crate::source::Module;

/// One file names something in another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    pub(crate) from: Module,
    pub(crate) to: Module,
    /// The path that is named.
    pub(crate) path: String,
}

/// The imports between the files of a crate.
///
/// A file that re-exports what is below it does not import it, unless it also uses it. A name that
/// comes by way of a re-export is imported from the file that declares it.
pub(crate) fn imports(files: &BTreeMap<Module, TokenStream>) -> BTreeSet<Import> {
    let names: BTreeMap<&Module, Vec<Named>> = files
        .iter()
        .map(|(module, tokens)| (module, named(module, tokens.clone())))
        .collect();
    let mut imported: BTreeMap<(Module, String), Module> = BTreeMap::new();
    for name in names.values().flatten() {
        if let Some(alias) = &name.imported_as {
            let key = (name.within.clone(), alias.clone());
            imported.insert(key, name.target.clone());
        }
    }
    let mut found = BTreeSet::new();
    for (&from, names) in &names {
        for name in names {
            let to = declared_in(&name.target, files, &imported);
            let alias = name.imported_as.as_deref().unwrap_or_default();
            let reexport = name.reexported && to.starts_with(from) && !used(&files[from], alias);
            if to != *from && !reexport {
                let (from, path) = (from.clone(), name.target.join("::"));
                found.insert(Import { from, to, path });
            }
        }
    }
    found
}

/// The file that declares what `path` names.
fn declared_in(
    path: &Module,
    files: &BTreeMap<Module, TokenStream>,
    imported: &BTreeMap<(Module, String), Module>,
) -> Module {
    let mut path = path.clone();
    // A re-export of a re-export, and so on; circles of those do not compile.
    for _ in 0..8 {
        let via = (0..path.len()).find_map(|at| {
            let target = imported.get(&(path[..at].to_vec(), path[at].clone()))?;
            let next = [target.as_slice(), &path[at + 1..]].concat();
            (next != path).then_some(next)
        });
        match via {
            Some(next) if !files.contains_key(&path) => path = next,
            _ => break,
        }
    }
    while !files.contains_key(&path) && !path.is_empty() {
        path.pop();
    }
    path
}

/// The circles among the entries of each folder, as the imports of which they are made.
///
/// An entry is a file or a folder; a folder and the module file of its name are one entry beside
/// their neighbours. Inside its folder, the module file is an entry like the others.
pub(crate) fn circles(imports: &BTreeSet<Import>) -> Vec<Vec<Import>> {
    let mut folders: BTreeMap<Module, BTreeMap<(String, String), Vec<Import>>> = BTreeMap::new();
    for import in imports {
        let shared = import.from.iter().zip(&import.to);
        let depth = shared.take_while(|(from, to)| from == to).count();
        let entry = |module: &Module| module.get(depth).map_or_else(|| ".".into(), Clone::clone);
        folders
            .entry(import.from[..depth].to_vec())
            .or_default()
            .entry((entry(&import.from), entry(&import.to)))
            .or_default()
            .push(import.clone());
    }
    folders.values().flat_map(circles_of).collect()
}

/// The imports between entries that reach each other, one list for each set of such entries.
fn circles_of(edges: &BTreeMap<(String, String), Vec<Import>>) -> Vec<Vec<Import>> {
    let mut sets: BTreeMap<BTreeSet<&str>, Vec<Import>> = BTreeMap::new();
    for ((from, to), imports) in edges {
        let (there, back) = (reached(edges, to), reached(edges, from));
        if there.contains(from.as_str()) {
            let set = there.intersection(&back).copied();
            let set = set.filter(|&entry| reached(edges, entry).contains(from.as_str()));
            sets.entry(set.collect())
                .or_default()
                .extend(imports.clone());
        }
    }
    sets.into_values().collect()
}

fn reached<'e>(
    edges: &'e BTreeMap<(String, String), Vec<Import>>,
    from: &str,
) -> BTreeSet<&'e str> {
    let mut found = BTreeSet::new();
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        for (_, to) in edges.keys().filter(|(from, _)| from == at) {
            if found.insert(to.as_str()) {
                next.push(to);
            }
        }
    }
    found
}

/// Whether `name` stands in `tokens` other than to import or to declare it.
fn used(tokens: &TokenStream, name: &str) -> bool {
    let mut declares = false;
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(word) if word == "use" || word == "mod" => {
            declares = true;
            false
        }
        TokenTree::Ident(word) => !declares && word == name,
        TokenTree::Group(group) => {
            let used = !declares && used(&group.stream(), name);
            // A module in the file ends here, and what `use` imports ends at the `;`.
            declares &= group.delimiter() != Delimiter::Brace;
            used
        }
        TokenTree::Punct(punct) => {
            declares &= punct.as_char() != ';';
            false
        }
        TokenTree::Literal(_) => false,
    })
}
