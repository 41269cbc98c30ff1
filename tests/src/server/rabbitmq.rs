//! A private RabbitMQ.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::Account;
use super::folder::folder;
use super::process::{Launch, Process, free_port, with_retries};
use super::{Error, Options, program};

mod control;

use control::Control;

const NAME: &str = "RabbitMQ";
const PACKAGE: &str = "rabbitmq-server";

/// Nobody else may reach the node, and everybody who may read this file may run its tests.
const COOKIE: &str = "idem-tests";

/// A running RabbitMQ with the user `guest`, whose password is `guest`.
///
/// Erlang finds nodes by a name server, `epmd`. This one has its own, which ends with it: neither
/// does it see the machine's, nor does it leave one behind.
#[derive(Debug)]
pub struct RabbitMq {
    control: Control,
    process: Process,
    names: Process,
    port: u16,
}

/// How many messages a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueCounts {
    /// Those that wait.
    pub ready: usize,
    /// Those that were delivered and are not acknowledged.
    pub unacknowledged: usize,
}

impl RabbitMq {
    /// Starts a server. [`Options::set`] adds lines to its `rabbitmq.conf`.
    ///
    /// # Errors
    ///
    /// When its programs are missing, or it does not come up; the error carries its log.
    pub async fn start(options: Options) -> Result<Self, Error> {
        with_retries(|| Self::start_once(&options)).await
    }

    async fn start_once(options: &Options) -> Result<Self, Error> {
        // What is in PATH insists on the account that Debian made for it.
        let mut programs = options.programs.clone();
        programs.push(PathBuf::from("/usr/lib/rabbitmq/bin"));
        let server = program::find("rabbitmq-server", PACKAGE, &programs)?;
        let erl = program::find("erl", "erlang-base", &[])?;
        let epmd = program::find("epmd", "erlang-base", &[])?;

        let account = Account::unprivileged()?;
        let folder = folder(&account)?;
        let [port, distribution, names] = [free_port()?, free_port()?, free_port()?];
        let configuration = folder.path().join("rabbitmq.conf");
        write(&account, &configuration, &settings(options, port))?;
        let advanced = folder.path().join("advanced.config");
        // Looks for a delivery that is too old each second, and not each minute.
        write(
            &account,
            &advanced,
            "[{rabbit, [{channel_tick_interval, 1000}]}].\n",
        )?;
        write_cookie(&account, folder.path())?;

        let node = format!("idem{port}@localhost");
        let environment = |path: &Path| {
            let text = |name: &str| path.join(name).display().to_string();
            [
                ("HOME", path.display().to_string()),
                ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
                ("ERL_EPMD_PORT", names.to_string()),
                ("ERL_CRASH_DUMP", "/dev/null".into()),
                // The script then becomes the server, and its process ID is the server's.
                ("detached", "true".into()),
                ("RABBITMQ_NODENAME", node.clone()),
                ("RABBITMQ_DIST_PORT", distribution.to_string()),
                ("RABBITMQ_MNESIA_BASE", text("data")),
                ("RABBITMQ_LOG_BASE", text("logs")),
                ("RABBITMQ_LOGS", "-".into()),
                ("RABBITMQ_PID_FILE", text("pid")),
                ("RABBITMQ_GENERATED_CONFIG_DIR", text("generated")),
                ("RABBITMQ_ENABLED_PLUGINS_FILE", text("plugins")),
                ("RABBITMQ_CONF_ENV_FILE", text("no-environment")),
                ("RABBITMQ_CONFIG_FILE", text("rabbitmq.conf")),
                ("RABBITMQ_ADVANCED_CONFIG_FILE", text("advanced.config")),
                (
                    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                    // Two schedulers that do not spin: other tests want the processors, too.
                    "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
                        .into(),
                ),
                ("IDEM_RABBITMQ_NODE", node.clone()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
        };

        let mut control = Command::new(&erl);
        control
            .envs(environment(folder.path()))
            // The shell's account may be another one, and needs no file of it.
            .args(["-hidden", "-setcookie", COOKIE, "-sname"])
            .arg(format!("control{port}@localhost"))
            .args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]);
        let names = Process::start(
            super::folder::folder(&account)?,
            &account,
            &Launch {
                program: epmd,
                arguments: vec![
                    "-port".into(),
                    names.to_string(),
                    "-address".into(),
                    "127.0.0.1".into(),
                ],
                environment: Vec::new(),
                signal: "KILL",
            },
        )?;
        let launch = Launch {
            program: server,
            arguments: Vec::new(),
            environment: environment(folder.path()).into(),
            signal: "KILL",
        };
        let process = Process::start(folder, &account, &launch)?;
        let server = Self {
            control: Control::start(control)?,
            process,
            names,
            port,
        };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&self) -> Result<(), Error> {
        let probe = async || match self.control.ask("running")?.as_str() {
            "true" => Ok(()),
            other => Err(Error::Failed(format!("is it running: {other}"))),
        };
        self.process.wait_until_ready(NAME, probe).await
    }

    /// How many messages a queue of the virtual host `/` holds.
    ///
    /// # Errors
    ///
    /// When there is no such queue, or it has no leader yet after a restart.
    pub fn queue(&self, name: &str) -> Result<QueueCounts, Error> {
        let answer = self.control.ask(&format!("queue {name}"))?;
        let numbers: Vec<usize> = answer
            .split(' ')
            .filter_map(|number| number.parse().ok())
            .collect();
        match numbers[..] {
            [ready, unacknowledged] => Ok(QueueCounts {
                ready,
                unacknowledged,
            }),
            _ => Err(Error::Failed(format!(
                "no figures of the queue {name}: {answer}"
            ))),
        }
    }

    /// Writes down which queues there are. The server does so by itself some seconds after a quorum
    /// queue was declared, and one that it has not written down finds no leader after a crash.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub fn flush_declarations(&self) -> Result<(), Error> {
        match self.control.ask("flush")?.as_str() {
            "ok" => Ok(()),
            other => Err(Error::Failed(format!(
                "the queues are not written down: {other}"
            ))),
        }
    }

    /// Ends the server as a crash does: what it has confirmed is kept.
    ///
    /// # Errors
    ///
    /// When its guard does not answer.
    pub fn crash(&mut self) -> Result<(), Error> {
        self.process.crash()
    }

    /// Starts the server again after [`RabbitMq::crash`].
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.process.restart()?;
        self.wait_until_ready().await
    }

    /// The URL of the virtual host `/`.
    pub fn url(&self) -> String {
        self.url_through(self.address())
    }

    /// [`RabbitMq::url`] with another host and port: those of a [`Proxy`](crate::proxy::Proxy).
    pub fn url_through(&self, address: SocketAddr) -> String {
        format!("amqp://guest:guest@{address}/%2f")
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The folder with the server's data and configuration.
    pub fn folder(&self) -> &Path {
        self.process.folder()
    }

    /// The process and the folder of the name server that it has for itself.
    pub fn name_server(&self) -> (u32, PathBuf) {
        (self.names.pid(), self.names.folder().to_owned())
    }

    /// Everything that the server has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn settings(options: &Options, port: u16) -> String {
    let mut text = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\n\
         log.console = true\n\
         log.console.level = warning\n\
         log.file = false\n"
    );
    for (name, value) in &options.settings {
        text.extend([name, " = ", value, "\n"]);
    }
    text
}

fn write(account: &Account, path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|e| Error::io(path, e))?;
    account.own(path)
}

/// Erlang refuses one that others may read.
fn write_cookie(account: &Account, folder: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;

    let path = folder.join(".erlang.cookie");
    write(account, &path, COOKIE)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).map_err(|e| Error::io(&path, e))
}
