//! The relay: how fast it drains, what a look costs, what it takes from the handlers, and how soon
//! it publishes.

mod drain;
mod enqueue;
mod large;
mod latency;
mod looks;
#[cfg(feature = "peers")]
mod peer;
mod progress;
mod sink;
mod tables;

use anyhow::Result;

use crate::args::Args;

/// Runs the parts whose names contain the text of `--arms`, or all of them.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let wants = |part: &str| args.arms.as_deref().is_none_or(|text| part.contains(text));
    if wants("drain") {
        drain::run(args).await?;
    }
    if wants("several") {
        drain::several(args).await?;
    }
    if wants("large") {
        large::run(args).await?;
    }
    if wants("looks") {
        looks::run(args).await?;
    }
    if wants("enqueue") {
        enqueue::run(args).await?;
    }
    if wants("latency") {
        latency::run(args).await?;
    }
    Ok(())
}
