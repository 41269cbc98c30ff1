//! A private NATS with JetStream.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::account::Account;
use super::folder::folder;
use super::process::{Launch, Process, free_port, with_retries};
use super::{Error, Options, program};

const NAME: &str = "NATS";

/// How long the server may take to greet who has connected.
const GREETS_WITHIN: Duration = Duration::from_secs(1);

/// How long the server may take to stop after the signal.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

/// Which release of NATS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatsRelease {
    /// The one that Debian 12 installs, 2.9.
    Oldest,
    /// 2.15, which `scripts/install-servers` unpacks.
    Newest,
}

impl NatsRelease {
    fn program(self, folders: &[PathBuf]) -> Result<PathBuf, Error> {
        match self {
            Self::Oldest => program::find("nats-server", "nats-server", folders),
            Self::Newest => {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
                let folder = folder.join("../target/servers/nats-server-2.15.1");
                let program = folder.join("nats-server");
                if program.is_file() {
                    return Ok(program);
                }
                Err(Error::NotUnpacked {
                    release: "nats-server 2.15.1",
                    folder: folder.display().to_string(),
                })
            }
        }
    }
}

/// A running NATS with JetStream, whose streams are in its folder.
#[derive(Debug)]
pub struct Nats {
    process: Process,
    port: u16,
    name: String,
}

impl Nats {
    /// Starts a server. [`Options::set`] adds lines to its configuration.
    ///
    /// # Errors
    ///
    /// When its program is missing, or it does not come up; the error carries its log.
    pub async fn start(release: NatsRelease, options: Options) -> Result<Self, Error> {
        with_retries(|| Self::start_once(release, &options)).await
    }

    async fn start_once(release: NatsRelease, options: &Options) -> Result<Self, Error> {
        let program = release.program(&options.programs)?;
        let account = Account::unprivileged()?;
        let folder = folder(&account)?;
        let port = free_port()?;
        // Of its greeting: it tells this server from another one that took the port.
        let name = format!("idem-{}", uuid::Uuid::now_v7());
        let configuration = folder.path().join("nats.conf");
        let mut text = String::new();
        for (name, value) in &options.settings {
            text.extend([name, ": ", value, "\n"]);
        }
        fs::write(&configuration, text).map_err(|e| Error::io(&configuration, e))?;
        account.own(&configuration)?;
        let text = |path: &Path| path.display().to_string();
        let arguments = vec![
            "--addr".into(),
            "127.0.0.1".into(),
            "--port".into(),
            port.to_string(),
            "--name".into(),
            name.clone(),
            "--jetstream".into(),
            "--store_dir".into(),
            text(&folder.path().join("data")),
            "--config".into(),
            text(&configuration),
        ];
        let launch = Launch {
            program,
            arguments,
            environment: Vec::new(),
            signal: "KILL",
        };
        let process = Process::start(folder, &account, &launch)?;
        let server = Self {
            process,
            port,
            name,
        };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&self) -> Result<(), Error> {
        let probe = async || {
            let greeting = greeting(self.address())?;
            let is_ready = greeting.contains(&self.name) && greeting.contains("\"jetstream\":true");
            is_ready
                .then_some(())
                .ok_or_else(|| Error::Failed(format!("it says {greeting}")))
        };
        self.process.wait_until_ready(NAME, probe).await
    }

    /// Ends the server as a crash does. What it has confirmed is with the system's cache, and so is
    /// kept.
    ///
    /// # Errors
    ///
    /// When its guard does not answer.
    pub fn crash(&mut self) -> Result<(), Error> {
        self.process.crash()
    }

    /// Starts the server again after [`Nats::crash`].
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.process.restart()?;
        self.wait_until_ready().await
    }

    /// Stops the server in the middle of what it does, with its connections open. Once this has
    /// returned, it does nothing more.
    ///
    /// # Errors
    ///
    /// When it can't be told so, or goes on.
    pub fn suspend(&self) -> Result<(), Error> {
        self.signal("STOP")?;
        let deadline = Instant::now() + STOPS_WITHIN;
        while !is_stopped(self.pid()) {
            if Instant::now() > deadline {
                return Err(Error::Failed(format!("{} goes on after STOP", self.pid())));
            }
            // Each of its threads stops on its own.
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Lets it go on after [`Nats::suspend`].
    ///
    /// # Errors
    ///
    /// When it can't be told so.
    pub fn resume(&self) -> Result<(), Error> {
        self.signal("CONT")
    }

    fn signal(&self, signal: &str) -> Result<(), Error> {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status();
        let status = status.map_err(|e| Error::io("kill", e))?;
        let sent = status.success().then_some(());
        sent.ok_or_else(|| Error::Failed(format!("{signal} was not sent to {pid}")))
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.url_through(self.address())
    }

    /// [`Nats::url`] with another host and port: those of a [`Proxy`](crate::proxy::Proxy).
    pub fn url_through(&self, address: SocketAddr) -> String {
        format!("nats://{address}")
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

    /// Everything that the server has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// The first line that a server sends.
fn greeting(address: SocketAddr) -> Result<String, Error> {
    let failed = |e| Error::io(address.to_string(), e);
    let connection = TcpStream::connect(address).map_err(failed)?;
    let limited = connection.set_read_timeout(Some(GREETS_WITHIN));
    limited.map_err(failed)?;
    let mut line = String::new();
    BufReader::new(connection)
        .read_line(&mut line)
        .map_err(failed)?;
    Ok(line)
}

/// Whether all threads of the process have stopped, as far as this system shows it.
fn is_stopped(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return true;
    };
    let mut states = threads.flatten().filter_map(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        // The name before the state may hold anything.
        stat.rsplit_once(") ")?.1.chars().next()
    });
    states.all(|state| state == 'T')
}
