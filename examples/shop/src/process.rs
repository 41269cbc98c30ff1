//! Programs that this one starts, and ends whatever happens to itself.

use std::fs::OpenOptions;
use std::io::{BufRead as _, Write as _, stdin};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child as StdChild, ChildStdin, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, fs, iter, thread};

use anyhow::{Context as _, Result, bail};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rand::Rng as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long a program may take until it is there. Far above the usual: the machine may be busy.
const READY_WITHIN: Duration = Duration::from_mins(1);

const ASK_EVERY: Duration = Duration::from_millis(20);

/// How often the watchdog tries to remove the folder.
const REMOVE_AGAIN: usize = 250;

/// How long a killed process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// A process that ends the others when this one ends, by whatever cause, SIGKILL included; and
/// removes the folder, unless it is to be kept.
#[derive(Clone, Debug)]
pub(crate) struct Watchdog(Arc<Mutex<Pipe>>);

#[derive(Debug)]
struct Pipe {
    /// `None` at the end. When the last end of it is closed, the watchdog acts.
    orders: Option<ChildStdin>,
    process: StdChild,
}

impl Watchdog {
    /// `folder` is removed at the end.
    pub(crate) fn start(folder: Option<&Path>) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;

        let mut command = std::process::Command::new(std::env::current_exe()?);
        // An interrupt from the keyboard is for the one that it watches.
        command
            .arg("watchdog")
            .process_group(0)
            .stdin(Stdio::piped());
        if let Some(folder) = folder {
            command.arg(folder);
        }
        let mut process = command.spawn().context("can't start the watchdog")?;
        let orders = process.stdin.take();
        Ok(Self(Arc::new(Mutex::new(Pipe { orders, process }))))
    }

    /// The folder is not removed.
    pub(crate) fn keep_folder(&self) {
        self.tell("keep");
    }

    fn tell(&self, order: &str) {
        let mut pipe = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(orders) = &mut pipe.orders {
            // It fails if somebody has killed the watchdog: then the programs still end with
            // their handles.
            let _ = writeln!(orders, "{order}");
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.process.wait();
    }
}

/// The watchdog itself: `+ID` and `-ID` say which processes there are, and the end of the input that
/// it is time.
pub(crate) fn watch(folder: Option<PathBuf>) {
    let mut running = Vec::new();
    let mut folder = folder;
    for line in stdin().lock().lines().map_while(Result::ok) {
        match (line.split_at_checked(1), line.as_str()) {
            (_, "keep") => folder = None,
            (Some(("+", id)), _) => running.extend(id.parse().ok().and_then(Pid::from_raw)),
            (Some((_, id)), _) => {
                running.retain(|pid| pid.as_raw_nonzero().to_string() != id);
            }
            _ => {}
        }
    }
    for &pid in &running {
        let _ = kill_process(pid, Signal::KILL);
    }
    let Some(folder) = folder else { return };
    // What was killed just now may still have been writing.
    for _ in 0..REMOVE_AGAIN {
        if fs::remove_dir_all(&folder).is_ok() || !folder.exists() {
            return;
        }
        thread::sleep(ASK_EVERY);
    }
    eprintln!("{} could not be removed", folder.display());
}

/// Starts it.
type Start = Box<dyn FnMut() -> Command + Send>;

/// Whether it answers.
type Probe = Box<dyn FnMut() -> BoxFuture<'static, Result<()>> + Send>;

/// A program that can be started, ended and started again.
pub(crate) struct Program {
    name: &'static str,
    command: Start,
    probe: Probe,
    log: PathBuf,
    watchdog: Watchdog,
    child: Option<Child>,
}

impl Program {
    /// Starts what `command` says, each time. It is ready when `probe` says `Ok`. What it writes
    /// goes into the log.
    pub(crate) fn start(
        name: &'static str,
        command: impl FnMut() -> Command + Send + 'static,
        mut probe: impl FnMut() -> BoxFuture<'static, Result<()>> + Send + 'static,
        log: &Path,
        watchdog: &Watchdog,
    ) -> Result<Self> {
        let mut program = Self {
            name,
            command: Box::new(command),
            probe: Box::new(move || probe().boxed()),
            log: log.to_owned(),
            watchdog: watchdog.clone(),
            child: None,
        };
        program.spawn()?;
        Ok(program)
    }

    /// Starts it, after it has ended.
    pub(crate) fn spawn(&mut self) -> Result<()> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("can't write {}", self.log.display()))?;
        let mut command = (self.command)();
        command
            // What the keyboard interrupts is this program alone, which then ends the others.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let child = command
            .spawn()
            .with_context(|| format!("can't start {}", self.name))?;
        if let Some(id) = child.id() {
            self.watchdog.tell(&format!("+{id}"));
        }
        self.child = Some(child);
        Ok(())
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// Its process ID, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Waits until it answers, after a start.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let probe = &mut self.probe;
        let mut why = None;
        let asking = timeout(READY_WITHIN, async {
            loop {
                match probe().await {
                    Ok(()) => return,
                    Err(error) => why = Some(error),
                }
                sleep(ASK_EVERY).await;
            }
        });
        let Some(child) = &mut self.child else {
            bail!("{} is not running", self.name);
        };
        let answered = tokio::select! {
            answered = asking => answered.is_ok(),
            status = child.wait() => {
                bail!("{} ended at its start ({}): {}", self.name, status?, self.last_words())
            }
        };
        if !answered {
            let why = why.map_or_else(|| "it was silent".into(), |error| format!("{error:#}"));
            bail!(
                "{} did not answer within {READY_WITHIN:?} ({why}): {}",
                self.name,
                self.last_words()
            );
        }
        Ok(())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let id = id.with_context(|| format!("{} is not running", self.name))?;
        kill_process(id, signal).with_context(|| format!("can't signal {}", self.name))
    }

    /// Waits until it has ended, by itself or not.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        let Some(child) = &mut self.child else {
            bail!("{} is not running", self.name);
        };
        let id = child.id();
        let status = child.wait().await?;
        if let Some(id) = id {
            self.watchdog.tell(&format!("-{id}"));
        }
        self.child = None;
        Ok(status)
    }

    /// SIGKILL: it has no say in that.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        timeout(GONE_WITHIN, self.ended())
            .await
            .with_context(|| format!("{} was killed and is still there", self.name))??;
        Ok(())
    }

    /// SIGTERM, and waits until it has ended. `None` if it has not within that time: it is killed.
    pub(crate) async fn terminate(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        self.signal(Signal::TERM)?;
        if let Ok(status) = timeout(within, self.ended()).await {
            return status.map(Some);
        }
        self.kill().await?;
        Ok(None)
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        if lines.is_empty() {
            return format!("it wrote nothing to {}", self.log.display());
        }
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("child", &self.child)
            .finish_non_exhaustive()
    }
}

/// A port on the loopback address that nobody listens on. It is below those that outgoing
/// connections get, so that it is still free when a killed program is started again.
pub(crate) fn free_port() -> Result<u16> {
    let mut candidates = iter::repeat_with(|| rand::rng().random_range(15_000..32_000)).take(1_000);
    candidates
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .context("127.0.0.1 has no free port")
}

/// A probe: somebody listens there.
pub(crate) fn listens(address: SocketAddr) -> BoxFuture<'static, Result<()>> {
    async move {
        TcpStream::connect(address).await?;
        Ok(())
    }
    .boxed()
}
