//! What the attributes of a crate promise, as a file that is reviewed.

mod diff;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod key_type;
mod line;
mod lock;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::ffi::OsStr;
use std::fmt;
use std::panic::Location;
use std::path::Path;

use self::lock::{Handler, Mode};

/// One use of an attribute, registered by its expansion.
#[derive(Debug)]
pub struct Contract {
    /// `CARGO_PKG_NAME` of the crate that it stands in.
    pub package: &'static str,
    /// Where it stands.
    pub file: &'static str,
    /// Where it stands.
    pub line: u32,
    /// The namespace of its keys.
    pub scope: &'static str,
    /// The key expression; `None` for `#[outbox]` alone.
    pub key: Option<&'static str>,
    /// The type of the key expression, `_` if it can't be named.
    pub key_type: fn() -> String,
    /// `hash_key`.
    pub hashed: bool,
    /// The fingerprint expression.
    pub fingerprint: Option<&'static str>,
    /// `skip`, or `replay:Receipt@1`.
    pub duplicate: &'static str,
    /// `rollback` or `record`.
    pub error: &'static str,
    /// As written.
    pub retention: &'static str,
    /// The topics of its events.
    pub emits: fn() -> Vec<&'static str>,
    /// How its own error is found in an [`Error`](crate::Error), whose type this alone knows.
    pub find_error: fn() -> Option<FindError>,
}

/// Takes a handler's error out of the call's.
pub(crate) type FindError =
    for<'a> fn(&'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)>;

inventory::collect!(Contract);

/// An expansion says what differs from the defaults.
impl Contract {
    /// Of `#[outbox]` alone, at the place of the call.
    #[track_caller]
    pub const fn new(package: &'static str, scope: &'static str) -> Self {
        let place = Location::caller();
        Self {
            package,
            file: place.file(),
            line: place.line(),
            scope,
            key: None,
            key_type: String::new,
            hashed: false,
            fingerprint: None,
            duplicate: "-",
            error: "rollback",
            retention: "-",
            emits: Vec::new,
            find_error: || None,
        }
    }

    /// `#[idempotent]`.
    #[must_use]
    pub const fn key(
        mut self,
        key: &'static str,
        key_type: fn() -> String,
        duplicate: &'static str,
    ) -> Self {
        self.key = Some(key);
        self.key_type = key_type;
        self.duplicate = duplicate;
        self.retention = "forever";
        self
    }

    /// `hash_key`.
    #[must_use]
    pub const fn hash_key(mut self) -> Self {
        self.hashed = true;
        self
    }

    /// `fingerprint = "..."`.
    #[must_use]
    pub const fn fingerprint(mut self, fingerprint: &'static str) -> Self {
        self.fingerprint = Some(fingerprint);
        self
    }

    /// `on_error = "record"`.
    #[must_use]
    pub const fn record(mut self) -> Self {
        self.error = "record";
        self
    }

    /// `retention = "90d"`.
    #[must_use]
    pub const fn retention(mut self, retention: &'static str) -> Self {
        self.retention = retention;
        self
    }

    /// How its error is found.
    #[must_use]
    pub const fn raises(mut self, find_error: fn() -> Option<FindError>) -> Self {
        self.find_error = find_error;
        self
    }

    /// Its topics.
    #[must_use]
    pub const fn emits(mut self, emits: fn() -> Vec<&'static str>) -> Self {
        self.emits = emits;
        self
    }
}

/// Expands to a test that compares this crate's handlers with `idem.lock`, the file beside its `Cargo.toml` in which each
/// handler's contract is one line. Commit the file: a change of a contract is then a line in the diff.
///
/// ```text
/// payments.apply key=event.id:Uuid fingerprint=- duplicate=replay:Receipt@1 error=rollback retention=90d emits=ledger.posted
/// ```
///
/// A missing file is written; where the environment variable `CI` is set, the test fails instead. A difference fails, with what
/// it would do to messages in production. To accept it, run `IDEM_LOCK=accept cargo test`, and commit the file.
/// Two handlers with one scope always fail.
///
/// A blank in an expression, a type or a topic stands as `␣`, so that each line splits at its blanks.
///
/// # Where to put it
/// A test sees the handlers that are linked into its binary and whose `CARGO_PKG_NAME` is this crate's: a handler in `tests/x.rs`
/// or `src/bin/x.rs` is in that binary alone, one under `#[cfg(test)]` in the library's unit tests alone. So use the macro once in a
/// package, in the target that links every handler:
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
/// # What a line does not tell
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

/// Why the test fails. A test prints what it returns by `Debug`; unlike a panic's, its message comes alone, without a backtrace.
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
    let doubled = doubled(contracts());
    if !doubled.is_empty() {
        return Err(Refused(SharedScopes(&doubled).to_string()));
    }
    let handlers: Vec<Handler> = contracts().map(Handler::of).collect();
    Mode::of(ci, lock)
        .and_then(|mode| lock::check(package, &Path::new(directory).join(file), handlers, mode))
        .map_err(Refused)
}

/// The scopes that more than one handler of this program has, each with where they stand.
pub(crate) fn duplicate_scopes() -> Vec<DuplicateScope> {
    doubled(inventory::iter::<Contract>())
}

/// A scope that more than one handler has: a key that one of them handled would be a duplicate for the other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DuplicateScope {
    /// The scope.
    pub scope: &'static str,
    /// Where its handlers stand: `src/payments.rs:12`.
    pub places: Vec<String>,
}

fn doubled<'a>(contracts: impl Iterator<Item = &'a Contract>) -> Vec<DuplicateScope> {
    let mut places: BTreeMap<&'static str, Vec<(&'static str, u32)>> = BTreeMap::new();
    for contract in contracts {
        places
            .entry(contract.scope)
            .or_default()
            .push((contract.file, contract.line));
    }
    places
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(scope, mut places)| {
            places.sort_unstable();
            let places = places
                .iter()
                .map(|(file, line)| format!("{file}:{line}"))
                .collect();
            DuplicateScope { scope, places }
        })
        .collect()
}

/// Says which handlers share a scope.
pub(crate) struct SharedScopes<'a>(pub(crate) &'a [DuplicateScope]);

impl fmt::Display for SharedScopes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "two handlers have one scope, so that a message which one of them handled is a duplicate for the other, and is \
             lost there; give each a scope of its own with `scope = \"...\"`:",
        )?;
        for DuplicateScope { scope, places } in self.0 {
            write!(f, "\n  {scope}: {}", places.join(" and "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
