//! Misuse stops at the compiler, and says what to write instead.
//!
//! One case a file: an error in one item may hide that of another. After a change, or with a new compiler, refresh what is
//! expected and read the difference: `TRYBUILD=overwrite cargo test -p idem-tests --test ui`.

#[test]
fn misuse_is_named_with_its_fix_and_use_compiles() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/*/pass/*.rs");
}
