//! Whether a duplicate would get back what the handler returned.

mod equality;
mod mix;
mod shape;

use std::any::type_name;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::equality::equality;
use crate::error::NotFaithful;

/// `==`, if the type has it.
pub(crate) type Equal<T> = Option<fn(&T, &T) -> bool>;

/// The JSON that is stored of `value`.
///
/// # Errors
/// A duplicate would not get `value` back from it.
pub fn written<T: Serialize + DeserializeOwned>(
    value: &T,
    equal: Equal<T>,
) -> Result<Vec<u8>, NotFaithful> {
    let refused = |cause| NotFaithful {
        type_name: type_name::<T>(),
        cause,
    };
    let unreadable = |error| refused(Some(error));
    let json = serde_json::to_vec(value).map_err(unreadable)?;
    let read: T = serde_json::from_slice(&json).map_err(unreadable)?;
    let shown = shape::of(value).map_err(unreadable)? == shape::of(&read).map_err(unreadable)?;
    // What differs from itself, such as NaN, says nothing by differing from what was read.
    let equal = equal.is_none_or(|equal| equal(value, &read) || !equal(value, value));
    if shown && equal {
        Ok(json)
    } else {
        Err(refused(None))
    }
}

#[cfg(test)]
mod tests;
