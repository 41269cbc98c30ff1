//! Private servers on free loopback ports, each with its data in a temporary folder.
//!
//! [`postgres`], [`mariadb`] and [`pgbouncer`] give the one server that all tests of a process
//! share; it starts at the first call. A test that needs a server with settings of its own, or one
//! that it may crash, starts it by [`Postgres::start`], [`MariaDb::start`] or [`PgBouncer::start`].
//!
//! A server ends with the test process, however that ends, and takes its folder along. Data are not
//! flushed to disk unless [`Options::durable`] asks for it. A program that is not installed is an
//! error that names its Debian package: no test is ever skipped for it.

mod account;
mod database;
mod locale;
mod mariadb;
mod pgbouncer;
mod postgres;
mod process;
mod program;
mod template;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

pub use self::database::{Database, sqlite};
pub use self::mariadb::MariaDb;
pub use self::pgbouncer::PgBouncer;
pub use self::postgres::Postgres;

/// The PostgreSQL that the tests of this process share.
///
/// # Panics
///
/// When it can't be started; the message says why and what to do.
pub fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Result<Postgres, Error>> = OnceLock::new();
    shared(&SERVER, || Postgres::start(Options::default()))
}

/// The MariaDB that the tests of this process share.
///
/// # Panics
///
/// When it can't be started; the message says why and what to do.
pub fn mariadb() -> &'static MariaDb {
    static SERVER: OnceLock<Result<MariaDb, Error>> = OnceLock::new();
    shared(&SERVER, || MariaDb::start(Options::default()))
}

/// The PgBouncer that the tests of this process share, in front of [`postgres`].
///
/// # Panics
///
/// When it can't be started; the message says why and what to do.
pub fn pgbouncer() -> &'static PgBouncer {
    static SERVER: OnceLock<Result<PgBouncer, Error>> = OnceLock::new();
    let behind = postgres();
    shared(&SERVER, || PgBouncer::start(behind, Options::default()))
}

fn shared<S, F>(
    cell: &'static OnceLock<Result<S, Error>>,
    start: impl FnOnce() -> F + Send,
) -> &'static S
where
    S: Send + Sync,
    F: Future<Output = Result<S, Error>>,
{
    match cell.get_or_init(|| off_runtime(start)) {
        Ok(server) => server,
        Err(error) => panic!("{error}"),
    }
}

/// Runs a future to its end on a thread and a runtime of its own: it works wherever it is called
/// from, also in a test whose clock is paused.
fn off_runtime<T, F>(future: impl FnOnce() -> F + Send) -> Result<T, Error>
where
    T: Send,
    F: Future<Output = Result<T, Error>>,
{
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::io("a runtime", e))?
            .block_on(future())
    };
    thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|_| {
        Err(Error::Failed(
            "the thread that drives the server panicked".into(),
        ))
    })
}

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    durable: bool,
    settings: Vec<(String, String)>,
    messages: Option<String>,
    programs: Vec<PathBuf>,
}

impl Options {
    /// Flushes every commit to disk, for tests and measurements that are about that.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// A line of the server's configuration, such as `("wal_level", "logical")`.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.settings.push((name.into(), value.to_string()));
        self
    }

    /// The language of the server's messages, as in `de_DE`. Starting fails when the server has no
    /// translation for it, as a test would prove nothing then.
    #[must_use]
    pub fn messages(mut self, locale: impl Into<String>) -> Self {
        self.messages = Some(locale.into());
        self
    }

    /// Takes the server's programs from this folder where they are in it: another version, say.
    #[must_use]
    pub fn programs_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.programs.push(folder.into());
        self
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program is not installed.
    #[error(
        "`{program}` is not installed; the tests need it: scripts/install-servers, \
         or apt-get install {package}"
    )]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that it is in.
        package: &'static str,
    },
    /// The server ended before it answered.
    #[error("{name} ended before it was ready; its log:\n{log}")]
    Ended {
        /// The server.
        name: &'static str,
        /// What it wrote.
        log: String,
    },
    /// The server runs but did not answer in time.
    #[error("{name} did not answer in time: {failure}; its log:\n{log}")]
    NotReady {
        /// The server.
        name: &'static str,
        /// The last answer.
        failure: String,
        /// What it wrote.
        log: String,
    },
    /// A file, a folder or a program could not be used.
    #[error("{what}: {error}")]
    Io {
        /// Which one.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// The server answered with an error.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    fn io(what: impl AsRef<Path>, error: io::Error) -> Self {
        Self::Io {
            what: what.as_ref().display().to_string(),
            error,
        }
    }
}

/// A temporary folder for a server's data, which only `account` may enter.
fn folder(account: &account::Account) -> Result<tempfile::TempDir, Error> {
    let folder = tempfile::Builder::new()
        .prefix("idem-server-")
        .tempdir()
        .map_err(|e| Error::io(std::env::temp_dir(), e))?;
    account.own(folder.path())?;
    Ok(folder)
}
