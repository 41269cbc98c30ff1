//! A NATS of this program's own, on a free port of the loopback address.

use std::path::Path;

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use tokio::process::Command;

use crate::broker::nats::answers;
use crate::broker::server::{Server, find};
use crate::process::{Program, Watchdog, free_port};

const INSTALL: &str = "NATS is not installed here: `apt-get install nats-server`, or see \
    https://docs.nats.io/running-a-nats-service/introduction/installation. Or give the URL of one that runs: \
    --broker nats://127.0.0.1:4222";

/// Starts it, and waits until JetStream answers. With the data of an earlier start in that folder it
/// goes on with them.
pub(crate) async fn start(folder: &Path, watchdog: &Watchdog) -> Result<Server> {
    let store = folder.join("nats");
    // Not everybody's PATH has where Debian puts it.
    let debian = Path::new("/usr/sbin").to_path_buf();
    let server = find("nats-server", &[debian]).context(INSTALL)?;
    let port = free_port()?;
    let command = move || {
        let mut command = Command::new(&server);
        command
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .args(["--jetstream", "--store_dir"])
            .arg(&store);
        command
    };
    let url = format!("nats://127.0.0.1:{port}");
    let probed = url.clone();
    let probe = move || {
        let url = probed.clone();
        async move { answers(&url).await }.boxed()
    };
    let log = folder.join("nats.log");
    let mut program = Program::start("NATS", command, probe, &log, watchdog)?;
    program.ready().await?;
    Ok(Server::new(program, url, Vec::new()))
}
