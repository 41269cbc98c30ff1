//! Which database a program works on, and which file its events go to.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection};
use tempfile::TempDir;

/// A database and the file of the events that are published from it.
#[derive(Debug)]
pub struct Target {
    /// The database as it was named, to be passed on to another process.
    pub address: String,
    /// How to connect to it.
    pub database: Database,
    /// JSON lines, one a published event.
    pub events: PathBuf,
    /// Removed with this value.
    temporary: Option<TempDir>,
}

/// How to connect to a database.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file.
    Sqlite(SqliteConnectOptions),
    /// A PostgreSQL server.
    Postgres(PgConnectOptions),
    /// A MariaDB or MySQL server.
    MySql(MySqlConnectOptions),
}

impl Target {
    /// Reads `address`: a path, or a URL that starts with `sqlite:`, `postgres:` or `mysql:`.
    /// Without one the database is a temporary file.
    ///
    /// `events` is where the published events go; by default next to an SQLite file, or into the
    /// current folder under the name of a server's database.
    ///
    /// # Errors
    /// An address that can't be read, and an SQLite database in memory, which no second process can
    /// share.
    pub fn new(address: Option<&str>, events: Option<PathBuf>) -> anyhow::Result<Self> {
        let (address, temporary) = if let Some(address) = address {
            (address.to_owned(), None)
        } else {
            let folder = tempfile::Builder::new().prefix("idem-").tempdir()?;
            let file = folder.path().join("example.db");
            (file.display().to_string(), Some(folder))
        };
        let database = Database::parse(&address)
            .with_context(|| format!("{address:?} names no database that this program knows"))?;
        let events = match events {
            Some(events) => events,
            None => database.events_file()?,
        };
        Ok(Self {
            address,
            database,
            events,
            temporary,
        })
    }
}

impl Target {
    /// Fails at once where a server does not answer; a pool would go on trying, and not say why.
    ///
    /// # Errors
    /// What the server or the system answers.
    pub async fn reach(&self) -> anyhow::Result<()> {
        let reached = match &self.database {
            Database::Sqlite(_) => Ok(()),
            Database::Postgres(options) => close(options.connect().await).await,
            Database::MySql(options) => close(options.connect().await).await,
        };
        reached.with_context(|| format!("can't connect to {self}"))
    }
}

async fn close(connected: sqlx::Result<impl Connection>) -> sqlx::Result<()> {
    connected?.close().await
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = match &self.database {
            Database::Sqlite(options) => format!("SQLite, {}", options.get_filename().display()),
            Database::Postgres(options) => {
                let (host, port) = (options.get_host(), options.get_port());
                format!("PostgreSQL, {host}:{port}")
            }
            Database::MySql(options) => {
                let (host, port) = (options.get_host(), options.get_port());
                format!("MariaDB/MySQL, {host}:{port}")
            }
        };
        let removed = if self.temporary.is_some() {
            " (both are removed at the end)"
        } else {
            ""
        };
        write!(
            f,
            "{database}; events in {}{removed}",
            self.events.display()
        )
    }
}

impl Database {
    fn parse(address: &str) -> anyhow::Result<Self> {
        let scheme = address.split_once(':').map_or("", |(scheme, _)| scheme);
        Ok(match scheme {
            "postgres" | "postgresql" => Self::Postgres(address.parse()?),
            "mysql" | "mariadb" => Self::MySql(address.parse()?),
            _ if address.contains(":memory:") => {
                bail!("a database in memory ends with its process; name a file")
            }
            "sqlite" => Self::Sqlite(address.parse()?),
            _ if address.contains("://") => bail!("use sqlite:, postgres: or mysql:"),
            _ => Self::Sqlite(SqliteConnectOptions::new().filename(address)),
        })
    }

    fn events_file(&self) -> anyhow::Result<PathBuf> {
        let name = match self {
            Self::Sqlite(options) => return Ok(beside(options.get_filename())),
            Self::Postgres(options) => options.get_database(),
            Self::MySql(options) => options.get_database(),
        };
        let name = name.context("the URL ends without the name of a database")?;
        Ok(beside(Path::new(name)))
    }
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".events.jsonl");
    name.into()
}
