//! One way to handle what waits.

use std::pin::Pin;

use anyhow::Result;

type Slice = Pin<Box<dyn Future<Output = Result<f64>> + Send>>;

/// One way to handle what waits.
pub(crate) struct Arm {
    pub(crate) name: &'static str,
    /// What it leaves out of what ours does.
    pub(crate) without: &'static str,
    /// Handles what waits, and says how many messages a second.
    pub(crate) slice: Box<dyn FnMut() -> Slice + Send>,
}

impl Arm {
    pub(crate) fn new<F>(
        name: &'static str,
        without: &'static str,
        mut slice: impl FnMut() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<f64>> + Send + 'static,
    {
        Self {
            name,
            without,
            slice: Box::new(move || Box::pin(slice())),
        }
    }
}
