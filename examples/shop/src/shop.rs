//! The shop: both services, and the broker if it is our own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::books::Waiting;
use crate::broker::{self, Route, Server};
use crate::process::{Program, Watchdog, free_port, listens};
use crate::screen::Screen;

/// How long a service may take to end in order: its relay may still wait for verdicts, for 30 s.
pub(crate) const END_WITHIN: Duration = Duration::from_secs(45);

/// How long nothing may arrive before the rest is given up.
const STALLED: Duration = Duration::from_mins(2);

/// How often the databases are asked what is missing.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Both services, running.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) orders: Program,
    pub(crate) ledger: Program,
    pub(crate) server: Option<Server>,
    pub(crate) route: Route,
    pub(crate) orders_at: SocketAddr,
    pub(crate) ledger_at: SocketAddr,
    pub(crate) folder: PathBuf,
    /// Whether the folder is removed at the end.
    is_temporary: bool,
}

impl Shop {
    /// Starts the broker, if it is to be started, and both services, and waits until they answer.
    pub(crate) async fn open(
        broker: Option<&str>,
        folder: &Path,
        is_temporary: bool,
        watchdog: &Watchdog,
    ) -> Result<Self> {
        let address = || -> Result<SocketAddr> { Ok((Ipv4Addr::LOCALHOST, free_port()?).into()) };
        let (orders_at, ledger_at) = (address()?, address()?);
        let server = match broker {
            Some(kind) if !kind.contains("://") => {
                Some(broker::start(kind, folder, watchdog).await?)
            }
            _ => None,
        };
        let name = name(folder)?;
        let url = match (&server, broker) {
            (Some(server), _) => server.url.clone(),
            (None, Some(url)) => url.to_owned(),
            (None, None) => format!("http://{ledger_at}/events"),
        };
        let route = Route::parse(&url, &name)?;
        route.declare().await?;
        let service = |service: &'static str, at: SocketAddr| {
            let program = env::current_exe()?;
            let database = folder.join(format!("{service}.db"));
            let (at_text, url, name) = (at.to_string(), url.clone(), name.clone());
            let command = move || {
                let mut command = Command::new(&program);
                command
                    .arg(service)
                    .arg(&database)
                    .args([&at_text, &url, &name]);
                command
            };
            let log = folder.join(format!("{service}.log"));
            Program::start(service, command, move || listens(at), &log, watchdog)
        };
        let mut shop = Self {
            orders: service("orders", orders_at)?,
            ledger: service("ledger", ledger_at)?,
            server,
            route,
            orders_at,
            ledger_at,
            folder: folder.to_owned(),
            is_temporary,
        };
        shop.ready().await?;
        Ok(shop)
    }

    /// Waits until everything answers.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        if let Some(server) = &mut self.server {
            server.program.ready().await?;
        }
        self.ledger.ready().await?;
        self.orders.ready().await
    }

    /// Waits until all has arrived, or nothing arrives any more. Returns what is missing.
    pub(crate) async fn drain(&self) -> Result<Waiting> {
        let screen = Screen::new(None, "events arrived");
        let (mut last, mut changed) = (None, Instant::now());
        loop {
            let waiting = Waiting::read(&self.folder).await?;
            if waiting.is_nothing() || changed.elapsed() > STALLED {
                return Ok(waiting);
            }
            if let Some(before) = last.replace(waiting)
                && before != waiting
            {
                screen
                    .bar
                    .inc(u64::try_from(before.entries - waiting.entries).unwrap_or(0));
                changed = Instant::now();
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Ends both services in order, once nothing waits with the broker either, and the broker.
    pub(crate) async fn close(mut self) -> Result<()> {
        end(&mut self.orders).await?;
        end(&mut self.ledger).await?;
        for _ in 0..10 {
            // What a consumer had in hand when it was asked to end waits again.
            if self.route.waiting().await? == 0 {
                break;
            }
            self.ledger.spawn()?;
            self.ledger.ready().await?;
            let start = Instant::now();
            while self.route.waiting().await? > 0 && start.elapsed() < STALLED {
                sleep(ASK_EVERY).await;
            }
            end(&mut self.ledger).await?;
        }
        let left = self.route.waiting().await?;
        ensure!(left == 0, "{left} messages are still in the queue");
        match &mut self.server {
            // Its data is to be found again.
            Some(server) if !self.is_temporary => end(&mut server.program).await,
            Some(server) => server.program.kill().await,
            None if self.is_temporary => self.route.remove().await,
            None => Ok(()),
        }
    }
}

async fn end(program: &mut Program) -> Result<()> {
    let name = program.name();
    let status = program.terminate(END_WITHIN).await?;
    let status =
        status.with_context(|| format!("{name} did not end within {END_WITHIN:?} of SIGTERM"))?;
    ensure!(
        status.success() || name != "orders" && name != "ledger",
        "{name} ended with {status}: {}",
        program.last_words()
    );
    Ok(())
}

/// What is ours on a broker begins with this, in all runs on one folder.
fn name(folder: &Path) -> Result<String> {
    let file = folder.join("name");
    if let Ok(name) = fs::read_to_string(&file) {
        return Ok(name);
    }
    let name = format!(
        "idem-shop-{}",
        &uuid::Uuid::now_v7().simple().to_string()[20..]
    );
    fs::write(&file, &name).with_context(|| format!("can't write {}", file.display()))?;
    Ok(name)
}
