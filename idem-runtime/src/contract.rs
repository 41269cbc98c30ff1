//! What the attributes of a crate promise, as a file that is reviewed.

mod change;
mod diff;
mod duplicate_scope;
mod emits;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod key_type;
mod line;
mod lock;
mod registered;
mod word;

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

pub use self::duplicate_scope::DuplicateScope;
use self::duplicate_scope::duplicates;
pub(crate) use self::duplicate_scope::{SharedScopes, duplicate_scopes, shared};
use self::lock::{Handler, Mode};
pub use self::registered::Contract;
pub(crate) use self::registered::FindError;

/// Expands to a test that compares this crate's handlers with `idem.lock`, the file next to its
/// `Cargo.toml` in which each handler's contract is one line. Commit the file: a change of a
/// contract is then a line in the diff.
///
/// ```text
/// payments.apply key=event.id:Uuid fingerprint=- duplicate=replay:Receipt@1 error=rollback
///     retention=90d isolation=- emits=ledger.posted type=Posted ordering_key=account
/// ```
///
/// (Here on two lines, in the file on one.) An event has three words: its topic, the type by which
/// consumers know it, and the expression of its ordering key.
///
/// A missing file is written; where the environment variable `CI` is set, the test fails instead. A
/// difference fails, with what it would do to messages in production. To accept it, run
/// `IDEM_LOCK=accept cargo test`, and commit the file. Two handlers with one scope always fail.
///
/// A blank in an expression, a type or a topic is written as `␣`, so that each line splits at its
/// blanks.
///
/// # Where to put it
/// A test sees the handlers that are linked into its binary and whose `CARGO_PKG_NAME` is this
/// crate's: a handler in `tests/x.rs` or `src/bin/x.rs` is in that binary alone, one under
/// `#[cfg(test)]` in the library's unit tests alone. So use the macro once in a package, in the
/// target that links every handler:
///
/// * Handlers in the library: an integration test, which sees the library as it is shipped.
///   ```
///   // tests/contracts.rs
///   # mod hidden {
///   # extern crate idem_runtime as payments;
///   use payments as _; // links the library, which nothing else here names
///
///   idem_runtime::contracts!();
///   # }
///   ```
/// * Handlers in one binary: its `main.rs`.
/// * Handlers in several binaries of one package: each `main.rs`, with a file of its own.
///   ```
///   idem_runtime::contracts!("idem.worker.lock");
///   ```
///
/// # What a line does not show
/// A change of shape inside a type that keeps its name: bump `result_version` with it.
#[macro_export]
macro_rules! contracts {
    () => {
        $crate::contracts!("idem.lock");
    };
    ($file:literal) => {
        #[test]
        fn contracts() -> ::core::result::Result<(), $crate::__private::Refused> {
            $crate::__private::check_contracts(
                ::core::env!("CARGO_PKG_NAME"),
                ::core::env!("CARGO_MANIFEST_DIR"),
                $file,
                ::std::env::var_os("CI").as_deref(),
                ::std::env::var_os("IDEM_LOCK").as_deref(),
            )
        }
    };
}

/// Why the test fails. A test prints what it returns by `Debug`; unlike a panic's, its message
/// comes alone, without a backtrace.
#[derive(PartialEq, Eq)]
pub struct Refused(String);

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The body of the test of [`contracts!`](crate::contracts).
///
/// # Errors
/// The message for a person.
pub fn check_contracts(
    package: &str,
    directory: &str,
    file: &str,
    ci: Option<&OsStr>,
    lock: Option<&OsStr>,
) -> Result<(), Refused> {
    let contracts = || inventory::iter::<Contract>().filter(|contract| contract.package == package);
    let duplicates = duplicates(contracts());
    if !duplicates.is_empty() {
        return Err(Refused(SharedScopes(&duplicates).to_string()));
    }
    let handlers: Vec<Handler> = contracts().map(Handler::of).collect();
    Mode::of(ci, lock)
        .and_then(|mode| lock::check(package, &Path::new(directory).join(file), handlers, mode))
        .map_err(Refused)
}

#[cfg(test)]
mod tests;
