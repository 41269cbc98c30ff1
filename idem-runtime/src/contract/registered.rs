//! What an expansion registers of one handler.

use std::error::Error as StdError;
use std::panic::Location;

use crate::event::EventContract;

/// One use of an attribute, registered by its expansion.
#[derive(Debug)]
pub struct Contract {
    /// `CARGO_PKG_NAME` of its crate.
    pub package: &'static str,
    /// Its file.
    pub file: &'static str,
    /// Its line.
    pub line: u32,
    /// The function that has the attribute.
    pub function: &'static str,
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
    /// As written.
    pub isolation: &'static str,
    /// Whether it takes many events at once.
    pub batch: bool,
    /// Its events.
    pub emits: fn() -> Vec<EventContract>,
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
    pub const fn new(package: &'static str, scope: &'static str, function: &'static str) -> Self {
        let place = Location::caller();
        Self {
            package,
            file: place.file(),
            line: place.line(),
            function,
            scope,
            key: None,
            key_type: String::new,
            hashed: false,
            fingerprint: None,
            duplicate: "-",
            error: "rollback",
            retention: "-",
            isolation: "-",
            batch: false,
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

    /// `isolation = "serializable"`.
    #[must_use]
    pub const fn isolation(mut self, isolation: &'static str) -> Self {
        self.isolation = isolation;
        self
    }

    /// `batch = "event in events"`.
    #[must_use]
    pub const fn batch(mut self) -> Self {
        self.batch = true;
        self
    }

    /// How its error is found.
    #[must_use]
    pub const fn raises(mut self, find_error: fn() -> Option<FindError>) -> Self {
        self.find_error = find_error;
        self
    }

    /// Its events.
    #[must_use]
    pub const fn emits(mut self, emits: fn() -> Vec<EventContract>) -> Self {
        self.emits = emits;
        self
    }
}
