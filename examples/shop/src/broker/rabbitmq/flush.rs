//! What a RabbitMQ of this program's own still keeps in memory, brought to its disk.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use crate::broker::server::find;

/// Nobody else may reach the node, and everybody who may read this file may run the example.
pub(super) const COOKIE: &str = "idem-shop";

pub(super) const INSTALL: &str = "RabbitMQ is not installed here: `apt-get install rabbitmq-server`, or see \
    https://www.rabbitmq.com/docs/download. Or give the URL of one that runs: --broker amqp://guest:guest@127.0.0.1";

/// Writes down which queues there are. RabbitMQ does so by itself some seconds after a queue was
/// declared, and one that was killed before that comes back without it.
pub(super) async fn flush(folder: &Path) -> Result<()> {
    const SYNC: &str = "rpc:call('shop@localhost', lists, foreach, [fun dets:sync/1, rpc:call('shop@localhost', dets, all, [])]), halt().";
    let folder = folder.join("rabbitmq");
    let names = fs::read_to_string(folder.join("names"))?;
    let mut erl = Command::new(find("erl", &[]).context(INSTALL)?);
    erl.env("HOME", &folder)
        .env("ERL_EPMD_PORT", names)
        .args([
            "-noshell",
            "-hidden",
            "-setcookie",
            COOKIE,
            "-sname",
            "flush@localhost",
        ])
        .args([
            "-kernel",
            "inet_dist_use_interface",
            "{127,0,0,1}",
            "-eval",
            SYNC,
        ])
        .kill_on_drop(true);
    let output = erl.output().await?;
    if !output.status.success() {
        bail!(
            "RabbitMQ did not write down its queues: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(())
}
