//! Publishers and sources against the bare clients that they are built on.

mod arm;
mod kafka;
mod nats;
mod rabbitmq;
mod work;

use anyhow::Result;

use crate::args::Args;

/// Runs the brokers whose names contain the text of `--arms`, or all of them.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let wants = |broker: &str| {
        let text = args.arms.as_deref();
        text.is_none_or(|text| broker.contains(text))
    };
    if wants("rabbitmq") {
        rabbitmq::run(args).await?;
    }
    if wants("nats") {
        nats::run(args).await?;
    }
    if wants("kafka") {
        kafka::run(args).await?;
    }
    Ok(())
}
