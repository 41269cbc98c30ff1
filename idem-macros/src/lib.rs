//! Attribute macros of `idem-runtime`, which re-exports them: depend on that crate, not on this one.
