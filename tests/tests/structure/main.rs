//! The structure of the repository: who may import whom, how long a file may be, where SQL is, and
//! what stays out of the runtime.

mod graph;
mod paths;
mod source;
mod sql;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use graph::{Import, circles, imports};
use source::{is_test, modules, repository, rust_files, tokens};

const CRATES: [&str; 11] = [
    "benches",
    "brokers/idem-kafka",
    "brokers/idem-nats",
    "brokers/idem-rabbitmq",
    "examples",
    "examples/shop",
    "idem-http",
    "idem-macros",
    "idem-runtime",
    "idem-testing",
    "tests",
];

/// A file that is longer has two jobs.
const LONGEST_FILE: usize = 400;

/// Where statements may be written, besides tests: a path that begins with one of these.
const SQL: [&str; 10] = [
    "benches/",
    "examples/",
    "idem-runtime/src/store/mysql",
    "idem-runtime/src/store/postgres",
    "idem-runtime/src/store/sqlite",
    "idem-testing/src/clone_database/",
    "idem-testing/src/conformance/source/database",
    "idem-testing/src/explorable/",
    "idem-testing/src/fault_proxy/",
    "tests/",
];

/// What only `idem-testing` may have.
const TEST_TOOL: [&str; 6] = [
    "CloneDatabase",
    "Explorer",
    "FaultKind",
    "FaultProxy",
    "Snapshot",
    "explore",
];

#[test]
fn imports_go_one_way_between_files_and_between_folders() {
    let mut found = Vec::new();
    for name in CRATES {
        let imports = imports(&modules(&repository().join(name).join("src")));
        assert!(!imports.is_empty(), "{name} has imports");
        found.extend(circles(&imports).iter().map(|circle| show(name, circle)));
    }
    assert!(
        found.is_empty(),
        "circles of imports:\n{}",
        found.join("\n")
    );
}

/// One line for each pair of files.
fn show(name: &str, circle: &[Import]) -> String {
    let file = |module: &[String]| match module {
        [] => "(root)".to_owned(),
        module => module.join("/"),
    };
    let lines: BTreeMap<_, _> = circle
        .iter()
        .map(|import| ((&import.from, &import.to), &import.path))
        .map(|((from, to), path)| {
            let line = format!("    {} imports {path} of {}", file(from), file(to));
            ((from, to), line)
        })
        .collect();
    let lines: Vec<String> = lines.into_values().collect();
    format!("{name}:\n{}", lines.join("\n"))
}

#[test]
fn no_file_is_longer_than_400_lines() {
    let long: Vec<(String, usize)> = rust_files(&repository())
        .iter()
        .map(|file| (relative(file), fs::read_to_string(file).unwrap()))
        .map(|(file, text)| (file, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .collect();
    assert_eq!(long, []);
}

#[test]
fn sql_is_written_in_the_folder_of_its_database() {
    let mut found = Vec::new();
    for name in CRATES {
        let folder = repository().join(name);
        for file in rust_files(&folder) {
            let place = relative(&file);
            if !SQL.iter().any(|folder| place.starts_with(folder)) && !is_test(&folder, &file) {
                let statements = sql::statements(tokens(&file));
                found.extend(statements.into_iter().map(|sql| (place.clone(), sql)));
            }
        }
    }
    assert_eq!(found, []);
}

#[test]
fn the_runtime_has_nothing_of_the_test_tool() {
    let src = repository().join("idem-runtime/src");
    let mut found = Vec::new();
    for file in rust_files(&src) {
        let mut words = BTreeSet::new();
        source::words(tokens(&file), &mut words);
        let tool = TEST_TOOL.into_iter().filter(|word| words.contains(*word));
        found.extend(tool.map(|word| (relative(&file), word)));
    }
    assert_eq!(found, []);
}

fn relative(file: &Path) -> String {
    let file = file.strip_prefix(repository()).unwrap();
    file.to_string_lossy().into_owned()
}

/// The circles of a crate of these files.
fn circles_of<const N: usize>(files: [(&str, &str); N]) -> Vec<Vec<(String, String)>> {
    let files = files.map(|(path, text)| {
        let module = path.split('/').filter(|part| !part.is_empty());
        (module.map(str::to_owned).collect(), text.parse().unwrap())
    });
    let found = circles(&imports(&BTreeMap::from(files)));
    let pair = |import: &Import| (import.from.join("/"), import.to.join("/"));
    found
        .iter()
        .map(|circle| circle.iter().map(pair).collect())
        .collect()
}

fn circle<const N: usize>(imports: [(&str, &str); N]) -> Vec<Vec<(String, String)>> {
    let imports = imports.map(|(from, to)| (from.into(), to.into()));
    vec![imports.into()]
}

#[test]
fn a_circle_between_files_is_found() {
    let found = circles_of([
        ("", "mod a; mod b; mod c;"),
        ("a", "use crate::b::B; pub struct A;"),
        ("b", "pub struct B; fn f() { vec![crate::c::C] }"),
        ("c", "pub struct C; fn f() { let _ = super::a::A; }"),
    ]);
    assert_eq!(found, circle([("a", "b"), ("b", "c"), ("c", "a")]));
}

#[test]
fn a_circle_between_folders_is_found_where_none_is_between_files() {
    let found = circles_of([
        ("", "mod a; mod b;"),
        ("a", "mod one; mod two;"),
        ("a/one", "use crate::b::one::B; "),
        ("a/two", "pub struct A;"),
        ("b", "pub mod one; mod two;"),
        ("b/one", "pub struct B;"),
        ("b/two", "use crate::a::two::A;"),
    ]);
    assert_eq!(found, circle([("a/one", "b/one"), ("b/two", "a/two")]));
}

#[test]
fn a_file_may_re_export_what_imports_it_but_not_use_it() {
    let child = ("a/b", "use super::Options; pub struct B;");
    let root = ("", "mod a;");
    let re_exports = ("a", "mod b; pub use b::B; pub struct Options;");
    assert_eq!(circles_of([root, re_exports, child]), circle::<0>([])[1..]);
    let uses = ("a", "mod b; pub use b::B; pub struct Options(B);");
    let found = circles_of([root, uses, child]);
    assert_eq!(found, circle([("a", "a/b"), ("a/b", "a")]));
}

#[test]
fn a_name_is_imported_from_the_file_that_declares_it() {
    let found = circles_of([
        ("", "mod a; mod b; pub use a::A;"),
        ("a", "use crate::b::B; pub struct A;"),
        ("b", "use crate::A; pub struct B;"),
    ]);
    assert_eq!(found, circle([("a", "b"), ("b", "a")]));
}
