//! What a run asks of a broker, beside what the services do with it.

use std::path::Path;

use anyhow::Result;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};

/// A place on a broker: what the services publish to and consume from.
pub(crate) trait Admin {
    /// The broker's name for people.
    fn label(&self) -> &'static str;

    /// Makes what must be there before the first event, and finds out whether the broker answers.
    fn declare(&self) -> BoxFuture<'_, Result<()>>;

    /// Makes a broker of our own safe to kill: what was declared is on its disk. Its data is in this
    /// folder.
    fn flush<'a>(&'a self, _folder: &'a Path) -> BoxFuture<'a, Result<()>> {
        ready(Ok(())).boxed()
    }

    /// How many events wait there, once nobody consumes any more.
    fn waiting(&self) -> BoxFuture<'_, Result<u32>>;

    /// Leaves nothing of ours on a broker that others use, too.
    fn remove(&self) -> BoxFuture<'_, Result<()>>;
}
