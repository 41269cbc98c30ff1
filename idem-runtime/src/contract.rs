//! What the attributes of a crate promise, as a file that is reviewed.

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
}

inventory::collect!(Contract);
