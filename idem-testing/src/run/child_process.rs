//! A delivery in a process of its own, so that it can be killed.
//!
//! The test starts its own program again, with itself as the only test. A variable says to the
//! exploration in that process that it is not to explore, but to deliver once, to a copy that the
//! parent made.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _, stdin};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::Connection;
use tokio::sync::mpsc;

use super::injector::Injector;
use super::process::Process;
use super::target::Target;
use crate::explorable::Explorable;
use crate::fault::{FaultKind, FaultPoint};
use crate::setup_error::SetupError;

/// `ORDINAL POINT URL`, for the child.
const ROLE: &str = "IDEM_EXPLORE_CHILD";

/// Marks the lines of the child that are meant for its parent.
const MARK: &str = "idem-explore-child: ";

/// How long a child may take to reach its delivery: it runs the test from the start.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// What an exploration in this process has to do.
pub(crate) enum Role {
    Explorer {
        ordinal: u32,
    },
    /// Nothing: it is another exploration of the same test than the one that is meant.
    Skip,
    Child {
        point: u64,
        url: String,
    },
}

/// Which exploration of its test this is, and what it has to do.
pub(crate) fn role() -> Role {
    static CALLS: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());
    let test = thread::current().name().unwrap_or_default().to_owned();
    let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let calls = calls.entry(test).or_default();
    let ordinal = *calls;
    *calls += 1;
    let Ok(role) = env::var(ROLE) else {
        return Role::Explorer { ordinal };
    };
    let mut words = role.splitn(3, ' ');
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
    let (Some(meant), Some(point)) = (number(), number()) else {
        return Role::Explorer { ordinal };
    };
    match words.next() {
        Some(url) if meant == u64::from(ordinal) => Role::Child {
            point,
            url: url.into(),
        },
        _ => Role::Skip,
    }
}

/// Delivers once and ends the process, unless it is killed before.
pub(crate) async fn deliver_once<S: Target>(
    target: &S,
    connections: u32,
    point: u64,
    url: &str,
) -> SetupError {
    let options =
        match url.parse::<<<S::Database as sqlx::Database>::Connection as Connection>::Options>() {
            Ok(options) => options,
            Err(error) => return SetupError::sql("the child can't read its URL")(error),
        };
    let injector = S::Database::PROTOCOL
        .is_none()
        .then(Injector::checkpoints_only);
    let process = match Process::start(
        target,
        options.disable_statement_logging(),
        connections,
        injector.as_ref(),
    )
    .await
    {
        Ok(process) => process,
        Err(error) => return SetupError::sql("the child can't connect")(error),
    };
    say("ready");
    // Meanwhile the parent arms its proxy.
    let _ = stdin().read(&mut [0]);
    let Some(injector) = injector else {
        let _ = target.deliver(&process.pool, &process.context).await;
        say("ended");
        std::process::exit(0);
    };
    injector.arm(Some(FaultPoint {
        kind: FaultKind::DroppedMidStatement,
        point,
        repeats: false,
    }));
    tokio::select! {
        biased;
        () = injector.held() => {
            say("held");
            std::future::pending().await
        }
        _ = target.deliver(&process.pool, &process.context) => {
            say("ended");
            std::process::exit(0);
        }
    }
}

fn say(what: &str) {
    // Not `println!`, which a test captures.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{MARK}{what}");
    let _ = out.flush();
}

/// The child, as its parent sees it.
pub(crate) struct ChildProcess {
    child: Child,
    said: mpsc::UnboundedReceiver<String>,
}

impl ChildProcess {
    /// Starts this program again, and waits until it has reached its delivery.
    pub(crate) async fn start(ordinal: u32, point: u64, url: &str) -> Result<Self, SetupError> {
        let failed = |what: &str, error: std::io::Error| {
            SetupError::new(format!("the process to be killed {what}: {error}"))
        };
        let program = env::current_exe().map_err(|error| failed("could not be found", error))?;
        let mut child = Command::new(program)
            .args(arguments()?)
            .env(ROLE, format!("{ordinal} {point} {url}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed("could not be started", error))?;
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, said) = mpsc::unbounded_channel();
        thread::spawn(move || listen(stdout, &sender));
        let mut process = Self { child, said };
        match tokio::time::timeout(START_TIMEOUT, process.said.recv()).await {
            Ok(Some(said)) if said == "ready" => Ok(process),
            _ => Err(SetupError::new(
                "the process to be killed did not reach its delivery: the test must do the same when it is run again, \
                 by its name alone",
            )),
        }
    }

    /// Lets it deliver.
    pub(crate) fn go(&mut self) {
        if let Some(stdin) = &mut self.child.stdin {
            let _ = stdin.write_all(b"g");
            let _ = stdin.flush();
        }
    }

    /// What it says next: `held` or `ended`; `None` when it is gone.
    pub(crate) async fn said(&mut self) -> Option<String> {
        self.said.recv().await
    }

    /// SIGKILL, and it is gone.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stdout: ChildStdout, sender: &mpsc::UnboundedSender<String>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if let Some((_, said)) = line.split_once(MARK)
            && sender.send(said.into()).is_err()
        {
            return;
        }
    }
}

/// This test alone, or what this program was started with.
fn arguments() -> Result<Vec<OsString>, SetupError> {
    if let Some(test) = thread::current().name().filter(|name| *name != "main") {
        return Ok(vec![
            test.into(),
            "--exact".into(),
            "--nocapture".into(),
            "--include-ignored".into(),
        ]);
    }
    let own: Vec<OsString> = env::args_os().skip(1).collect();
    if env::var_os("CARGO_PKG_NAME").is_some() && !own.iter().any(|argument| argument == "--exact")
    {
        return Err(SetupError::new(
            "the process to be killed is this test run again, and its name is not known: do not run the tests with \
             `--test-threads=1`, or name this one with `--exact`",
        ));
    }
    Ok(own)
}
