//! A RabbitMQ of this program's own, on free ports of the loopback address.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use tokio::process::Command;

use crate::broker::rabbitmq::answers;
use crate::broker::rabbitmq::flush::{COOKIE, INSTALL};
use crate::broker::server::{Server, find};
use crate::process::{Program, Watchdog, free_port, listens};

const NODE: &str = "shop@localhost";

/// Starts it, and waits until it takes connections. With the data of an earlier start in that folder
/// it goes on with them.
pub(crate) async fn start(folder: &Path, watchdog: &Watchdog) -> Result<Server> {
    let folder = folder.join("rabbitmq");
    // What is in PATH may insist on an account that a package made for it.
    let debian = Path::new("/usr/lib/rabbitmq/bin").to_path_buf();
    let server = find("rabbitmq-server", &[debian]).context(INSTALL)?;
    let epmd = find("epmd", &[]).context(INSTALL)?;
    let [port, distribution, names] = [free_port()?, free_port()?, free_port()?];
    set_up(&folder, port, names)?;

    // Erlang finds nodes by a name server. One of our own ends with us, and leaves the machine's
    // alone.
    let names_server = move || {
        let mut command = Command::new(&epmd);
        command.args(["-port", &names.to_string(), "-address", "127.0.0.1"]);
        command
    };
    let is_there = move || listens((Ipv4Addr::LOCALHOST, names).into());
    let log = folder.join("epmd.log");
    let mut helper = Program::start("epmd", names_server, is_there, &log, watchdog)?;
    helper.ready().await?;

    let environment = environment(&folder, names, distribution);
    let command = move || {
        let mut command = Command::new(&server);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
    };
    let url = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
    let probed = url.clone();
    let probe = move || {
        let url = probed.clone();
        async move { answers(&url).await }.boxed()
    };
    let mut program = Program::start("RabbitMQ", command, probe, &folder.join("log"), watchdog)?;
    program.ready().await?;
    Ok(Server::new(program, url, vec![helper]))
}

fn set_up(folder: &Path, port: u16, names: u16) -> Result<()> {
    fs::create_dir_all(folder)?;
    let settings = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.console.level = warning\nlog.file = false\n"
    );
    fs::write(folder.join("rabbitmq.conf"), settings)?;
    fs::write(folder.join("names"), names.to_string())?;
    // Erlang refuses one that others may read.
    let cookie = folder.join(".erlang.cookie");
    if !cookie.exists() {
        fs::write(&cookie, COOKIE)?;
        fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400))?;
    }
    Ok(())
}

fn environment(folder: &Path, names: u16, distribution: u16) -> Vec<(&'static str, String)> {
    let path = |name: &str| folder.join(name).display().to_string();
    vec![
        ("HOME", folder.display().to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        ("ERL_EPMD_PORT", names.to_string()),
        ("ERL_CRASH_DUMP", "/dev/null".into()),
        // The script then becomes the server, and its process ID is the server's.
        ("detached", "true".into()),
        ("RABBITMQ_NODENAME", NODE.into()),
        ("RABBITMQ_DIST_PORT", distribution.to_string()),
        ("RABBITMQ_MNESIA_BASE", path("data")),
        ("RABBITMQ_LOG_BASE", path("logs")),
        ("RABBITMQ_LOGS", "-".into()),
        ("RABBITMQ_PID_FILE", path("pid")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
        ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config")),
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            // Schedulers that do not spin: the services want the processors, too.
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
                .into(),
        ),
    ]
}
