//! The two sides of a handler's return type.

/// Implemented for `Result`: finds `T` and `E` behind an alias such as `anyhow::Result<T>`.
#[diagnostic::on_unimplemented(
    message = "a handler returns `Result<T, E>`, and `{Self}` is not one",
    label = "not a `Result`",
    note = "an `Err` is what rolls the transaction back"
)]
pub trait Returned {
    /// `T`.
    type Ok;
    /// `E`.
    type Err;
}

impl<T, E> Returned for Result<T, E> {
    type Ok = T;
    type Err = E;
}
