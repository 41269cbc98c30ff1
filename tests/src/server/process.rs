//! A server process that cannot outlive the test process.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::Error;
use super::account::Account;

/// How long a server may take until it answers. Far above the usual second: the machine may be
/// busy.
const READY_WITHIN: Duration = Duration::from_mins(1);
const POLL_EVERY: Duration = Duration::from_millis(15);

/// What to run, and how it is ended.
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    /// The signal that ends the server at once, as a crash would: nobody needs its data afterwards.
    pub(super) signal: &'static str,
}

/// A running server with its folder. Dropping it stops the server and removes the folder; so does
/// the end of the test process, however it ends.
#[derive(Debug)]
pub(super) struct Process {
    // The only end of the guard's standard input: `None` once the guard has been told to finish.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    guard: Child,
    pid: u32,
    folder: PathBuf,
}

impl Process {
    /// Starts the server. `folder` belongs to it from here on.
    pub(super) fn start(
        folder: tempfile::TempDir,
        account: &Account,
        launch: &Launch,
    ) -> Result<Self, Error> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", include_str!("guard.sh"), "guard"])
            .arg(folder.path())
            .arg(launch.signal)
            .args(account.prefix())
            .arg(&launch.program)
            .args(&launch.arguments)
            .envs(launch.environment.iter().map(|(k, v)| (k, v)))
            .current_dir(folder.path())
            // An interrupt from the keyboard ends the tests; the guard then ends the server.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut guard = command.spawn().map_err(|e| Error::io("/bin/sh", e))?;
        let (Some(orders), Some(answers)) = (guard.stdin.take(), guard.stdout.take()) else {
            return Err(Error::Failed("the guard was started without pipes".into()));
        };
        let mut process = Self {
            orders: Some(orders),
            answers: BufReader::new(answers),
            guard,
            pid: 0,
            folder: folder.keep(),
        };
        process.launch()?;
        Ok(process)
    }

    fn launch(&mut self) -> Result<(), Error> {
        let answer = self.order("start")?;
        self.pid = answer.parse().map_err(|_| {
            Error::Failed(format!("the guard answered {answer:?}, not a process ID"))
        })?;
        Ok(())
    }

    /// Ends the server without letting it finish anything; its data stay.
    pub(super) fn crash(&mut self) -> Result<(), Error> {
        match self.order("crash")?.as_str() {
            "crashed" => Ok(()),
            other => Err(Error::Failed(format!("the guard answered {other:?}"))),
        }
    }

    /// Starts the server again after [`Process::crash`].
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        self.launch()
    }

    fn order(&mut self, order: &str) -> Result<String, Error> {
        let Some(orders) = &mut self.orders else {
            return Err(Error::Failed("the server has been stopped".into()));
        };
        let mut answer = String::new();
        writeln!(orders, "{order}")
            .and_then(|()| self.answers.read_line(&mut answer))
            .map_err(|e| Error::io("the server's guard", e))?;
        Ok(answer.trim_end().to_owned())
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything that the server has written to its log.
    pub(super) fn log(&self) -> String {
        let bytes = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn has_ended(&self) -> bool {
        // A server that ended is a zombie until its guard waits for it.
        fs::read_to_string(format!("/proc/{}/stat", self.pid)).map_or(true, |stat| {
            stat.rsplit_once(") ")
                .is_none_or(|(_, rest)| rest.starts_with('Z'))
        })
    }

    /// Asks `probe` until it succeeds. A probe must also make sure that it met this very server, as
    /// another one may have been faster in taking the port.
    pub(super) async fn wait_until_ready<F>(
        &self,
        name: &'static str,
        probe: impl Fn() -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>>,
    {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let failure = match probe().await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if self.has_ended() {
                return Err(Error::Ended {
                    name,
                    log: self.log(),
                });
            }
            if Instant::now() > deadline {
                return Err(Error::NotReady {
                    name,
                    failure: failure.to_string(),
                    log: self.log(),
                });
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.orders.take());
        // Nothing can be done about a failure here, and the guard ends by itself.
        let _ = self.guard.wait();
    }
}

/// A port on the loopback address that nobody listens on now.
///
/// Another process can take it before the server does: start the server again with another port
/// then.
pub(super) fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|e| Error::io("127.0.0.1", e))
}

/// Starts a server, again when it ended before it was ready: its port may have been taken
/// meanwhile. Its log could tell, but in the language of its messages.
pub(super) async fn with_retries<T, F>(start: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 0..2 {
        match start().await {
            Err(Error::Ended { .. }) => {}
            other => return other,
        }
    }
    start().await
}
