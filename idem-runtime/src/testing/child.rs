//! A delivery in a process of its own, so that it can be killed.
//!
//! The test starts its own program again, with itself as the only test and a variable that tells the exploration in it what it is:
//! not an exploration, but one delivery to a copy that the parent made.

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

use super::fault::{Injury, Mode};
use super::life::Life;
use super::points::Points;
use super::subject::Subject;
use crate::store::explorable::Explorable;
use crate::store::lab::LabError;

/// `ORDINAL POINT URL`, for the child.
const ROLE: &str = "IDEM_EXPLORE_CHILD";

/// Before what the child says; its output holds more than that.
const MARK: &str = "idem-explore-child: ";

/// How long a child may take to come as far as its delivery: it starts the test over.
const CHILDHOOD: Duration = Duration::from_mins(2);

/// What an exploration in this process is.
pub(crate) enum Role {
    Explorer {
        ordinal: u32,
    },
    /// An exploration of the same test that comes before the one that is meant: it has nothing to do.
    Bystander,
    Child {
        point: u64,
        url: String,
    },
}

/// Which exploration of this test is this?
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
        _ => Role::Bystander,
    }
}

/// Delivers once and ends the process, unless it is killed before.
pub(crate) async fn live<S: Subject>(
    subject: &S,
    connections: u32,
    point: u64,
    url: &str,
) -> LabError {
    let options =
        match url.parse::<<<S::Database as sqlx::Database>::Connection as Connection>::Options>() {
            Ok(options) => options,
            Err(error) => return LabError::sql("the child can't read its URL")(error),
        };
    let points = S::Database::PROTOCOL
        .is_none()
        .then(Points::checkpoints_alone);
    let life = match Life::start(
        subject,
        options.disable_statement_logging(),
        connections,
        points.as_ref(),
    )
    .await
    {
        Ok(life) => life,
        Err(error) => return LabError::sql("the child can't connect")(error),
    };
    say("ready");
    // The parent arms its proxy, or kills.
    let _ = stdin().read(&mut [0]);
    let Some(points) = points else {
        let _ = subject.deliver(&life.pool, &life.process).await;
        say("ended");
        std::process::exit(0);
    };
    points.arm(Some(Injury {
        mode: Mode::DroppedInside,
        point,
    }));
    tokio::select! {
        biased;
        () = points.held() => {
            say("held");
            std::future::pending().await
        }
        _ = subject.deliver(&life.pool, &life.process) => {
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
pub(crate) struct Delivery {
    child: Child,
    said: mpsc::UnboundedReceiver<String>,
}

impl Delivery {
    /// Starts this program again, as far as its delivery.
    pub(crate) async fn start(ordinal: u32, point: u64, url: &str) -> Result<Self, LabError> {
        let failed = |what: &str, error: std::io::Error| {
            LabError::new(format!("the process to be killed {what}: {error}"))
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
        let (tell, said) = mpsc::unbounded_channel();
        thread::spawn(move || listen(stdout, &tell));
        let mut delivery = Self { child, said };
        match tokio::time::timeout(CHILDHOOD, delivery.said.recv()).await {
            Ok(Some(said)) if said == "ready" => Ok(delivery),
            _ => Err(LabError::new(
                "the process to be killed did not come as far as its delivery: the test that explores must do the same when it is \
                 run again, by its name alone",
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

    /// What it says next: `held`, or `ended`; `None` when it is gone.
    pub(crate) async fn said(&mut self) -> Option<String> {
        self.said.recv().await
    }

    /// SIGKILL, and it is gone.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stdout: ChildStdout, tell: &mpsc::UnboundedSender<String>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if let Some((_, said)) = line.split_once(MARK)
            && tell.send(said.into()).is_err()
        {
            return;
        }
    }
}

/// This test alone, or what this program was started with.
fn arguments() -> Result<Vec<OsString>, LabError> {
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
        return Err(LabError::new(
            "the process to be killed is this test run again, and its name can't be found out: do not run the tests with \
             `--test-threads=1`, or name this one with `--exact`",
        ));
    }
    Ok(own)
}
