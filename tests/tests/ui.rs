//! Misuse stops at the compiler, and says what to write instead.
//!
//! One case a file: an error in one item may hide that of another. After a change, or with a new
//! compiler, refresh what is expected and read the difference: `TRYBUILD=overwrite cargo test -p
//! idem-tests --test ui`.
//!
//! Use that compiles is in the package `idem-ui`, a program for each case. Were it here, trybuild
//! would build its dependencies in full, and compile the cases one after the other.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// The flags of the compiler that `.ci/run` lints with, too: the dependencies are then checked once
/// for both. By itself trybuild checks them twice, as it changes its flags in between.
const FLAGS: (&str, &str) = (
    "CARGO_ENCODED_RUSTFLAGS",
    "--verbose\x1f--diagnostic-width=140",
);

/// Starts itself with the flags set, as no test may set a variable for the others.
#[test]
fn misuse_is_named_with_its_fix() {
    let (variable, flags) = FLAGS;
    if env::var(variable).is_ok_and(|found| found == flags) {
        trybuild::TestCases::new().compile_fail("ui/*/fail/*.rs");
        return;
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["misuse_is_named_with_its_fix", "--exact", "--nocapture"])
        .args(env::args().filter(|argument| argument.starts_with("trybuild=")))
        .env(variable, flags)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
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

#[test]
fn use_that_compiles_is_compiled() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let forgotten: Vec<_> = cases("pass", "rs")
        .into_iter()
        .filter(|case| {
            let path = case.strip_prefix(root()).unwrap().to_str().unwrap();
            !manifest.contains(&format!("path = {path:?}"))
        })
        .collect();
    assert_eq!(forgotten, Vec::<PathBuf>::new());
}

/// The files of all macros, sorted.
fn cases(verdict: &str, extension: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(root())
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

fn root() -> PathBuf {
    PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("ui")
}
