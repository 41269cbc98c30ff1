//! The repository's files, and the modules of a crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

/// A module's path from the crate's root: `["store", "sqlite"]`. The root's is empty.
pub(crate) type Module = Vec<String>;

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below `folder` whose name ends in `.rs`, sorted; build folders are left out.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The file's text as tokens. Comments are gone, except that a doc comment is a `#[doc = ".."]`.
pub(crate) fn tokens(file: &Path) -> TokenStream {
    let text = fs::read_to_string(file).unwrap();
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The modules of the crate whose sources are in `src`, with the tokens of each one's file.
/// Programs next to the library and files of tests are left out: nobody imports them.
pub(crate) fn modules(src: &Path) -> BTreeMap<Module, TokenStream> {
    rust_files(src)
        .into_iter()
        .filter(|file| !file.starts_with(src.join("bin")) && !is_test(src, file))
        .map(|file| (module(src, &file), tokens(&file)))
        .collect()
}

/// Whether the file is `tests.rs`, or in a folder of tests below `src`.
pub(crate) fn is_test(src: &Path, file: &Path) -> bool {
    let file = file.strip_prefix(src).unwrap().with_extension("");
    file.iter()
        .any(|part| part == "tests" || part == "snapshots")
}

/// `src/store/sqlite.rs` and `src/store/sqlite/mod.rs` are both `["store", "sqlite"]`.
fn module(src: &Path, file: &Path) -> Module {
    let relative = file.strip_prefix(src).unwrap().with_extension("");
    let mut module: Module = relative
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let last = module.last().unwrap();
    if last == "mod" || (module.len() == 1 && (last == "lib" || last == "main")) {
        module.pop();
    }
    module
}

/// Every word of the code in `tokens`; what stands in strings and in docs is none.
pub(crate) fn words(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) => drop(found.insert(word.to_string())),
            TokenTree::Group(group) => words(group.stream(), found),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}
