//! Finds the `==` of a type that may have none.

#![allow(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "method resolution picks one of two"
)]

use std::marker::PhantomData;
use std::ops::Deref;

/// Asks whether `T` can be compared. The expansion knows the type, so method resolution answers:
/// `find` of this type if its bound holds, else that of what it dereferences to.
#[derive(Debug)]
pub struct Equality<T>(Unknown<T>);

/// The answer for types without `PartialEq`.
#[derive(Debug)]
pub struct Unknown<T>(PhantomData<fn(&T)>);

/// Asks it.
pub const fn equality<T>() -> Equality<T> {
    Equality(Unknown(PhantomData))
}

impl<T: PartialEq> Equality<T> {
    /// `==`.
    pub const fn find(&self) -> Option<fn(&T, &T) -> bool> {
        Some(T::eq)
    }
}

impl<T> Deref for Equality<T> {
    type Target = Unknown<T>;

    fn deref(&self) -> &Unknown<T> {
        &self.0
    }
}

impl<T> Unknown<T> {
    /// Always `None`.
    pub const fn find(&self) -> Option<fn(&T, &T) -> bool> {
        None
    }
}
