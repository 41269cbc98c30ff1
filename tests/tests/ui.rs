//! Misuse stops at the compiler, and says what to write instead.
//!
//! One case a file: an error in one item may hide that of another. After a change, or with a new
//! compiler, refresh what is expected and read the difference: `TRYBUILD=overwrite cargo test -p
//! idem-tests --test ui`.

use std::path::PathBuf;
use std::{env, fs};

#[test]
fn misuse_is_named_with_its_fix_and_use_compiles() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/*/pass/*.rs");
    cases.compile_fail("ui/*/fail/*.rs");
}

/// A person at two in the morning reads the first error; a third one helps nobody.
#[test]
fn no_mistake_gives_more_than_two_errors() {
    let crowded: Vec<_> = cases("fail", "stderr")
        .into_iter()
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            let errors = text
                .lines()
                .filter(|line| line.starts_with("error:") || line.starts_with("error["));
            !(1..=2).contains(&errors.count())
        })
        .collect();
    assert_eq!(crowded, Vec::<PathBuf>::new());
}

#[test]
fn the_suite_holds_every_case_with_what_is_expected_of_it() {
    let (fail, pass) = (cases("fail", "rs"), cases("pass", "rs"));
    assert!(fail.len() >= 80 && pass.len() >= 15);
    let expected: Vec<_> = fail
        .iter()
        .map(|path| path.with_extension("stderr"))
        .collect();
    assert_eq!(cases("fail", "stderr"), expected);
}

/// The files of all macros, sorted.
fn cases(verdict: &str, extension: &str) -> Vec<PathBuf> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("ui");
    let mut paths: Vec<_> = fs::read_dir(root)
        .unwrap()
        .flat_map(|suite| {
            fs::read_dir(suite.unwrap().path().join(verdict))
                .into_iter()
                .flatten()
        })
        .map(|case| case.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths
}
