//! A database of its own for each test.

use std::net::SocketAddr;
use std::time::Duration;

use sqlx::{Connection as _, MySqlConnection, PgConnection};
use tempfile::TempDir;

use super::Error;
use super::off_runtime::off_runtime;

/// An empty database that no other test knows. It is dropped with this value, whoever is still
/// connected to it.
#[derive(Debug)]
pub struct Database {
    pub(super) url: String,
    pub(super) name: String,
    pub(super) home: Home,
}

/// Where a database lies, and so how it is dropped.
#[derive(Debug)]
pub(super) enum Home {
    Postgres {
        admin: String,
        address: SocketAddr,
    },
    MariaDb {
        admin: String,
        address: SocketAddr,
    },
    Sqlite {
        _folder: TempDir,
    },
    /// Reached through a pooler; the database itself is the other one.
    Pooled {
        behind: Box<Database>,
        address: SocketAddr,
    },
}

impl Database {
    /// The address to connect to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The database's name; for SQLite the path of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address that leads past a pooler, where [`Database::url`] leads through one.
    pub fn direct_url(&self) -> &str {
        match &self.home {
            Home::Pooled { behind, .. } => behind.direct_url(),
            _ => &self.url,
        }
    }

    /// Where the server listens; SQLite has none.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.home {
            Home::Postgres { address, .. }
            | Home::MariaDb { address, .. }
            | Home::Pooled { address, .. } => Some(*address),
            Home::Sqlite { .. } => None,
        }
    }

    /// [`Database::url`] with another host and port: those of a [`Proxy`](crate::proxy::Proxy).
    pub fn url_through(&self, address: SocketAddr) -> String {
        match self.address() {
            Some(own) => self.url.replacen(&own.to_string(), &address.to_string(), 1),
            None => self.url.clone(),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = &self.name;
        // A failure has no effect on later tests, and the server goes with the process.
        let _ = match &self.home {
            Home::Postgres { admin, .. } => off_runtime(|| drop_postgres(admin, name)),
            Home::MariaDb { admin, .. } => off_runtime(|| drop_mariadb(admin, name)),
            Home::Sqlite { .. } | Home::Pooled { .. } => Ok(()),
        };
    }
}

async fn drop_postgres(admin: &str, name: &str) -> Result<(), Error> {
    let mut connection = PgConnection::connect(admin).await?;
    let statement = format!("DROP DATABASE {name} WITH (FORCE)");
    within_limit(sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection)).await
}

async fn drop_mariadb(admin: &str, name: &str) -> Result<(), Error> {
    let mut connection = MySqlConnection::connect(admin).await?;
    // A test that leaked a transaction holds the tables.
    let statement = format!("SET lock_wait_timeout = 1; DROP DATABASE {name}");
    within_limit(sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection)).await
}

async fn within_limit<T>(future: impl Future<Output = sqlx::Result<T>>) -> Result<(), Error> {
    match tokio::time::timeout(Duration::from_secs(10), future).await {
        Ok(done) => Ok(done.map(drop)?),
        Err(_) => Err(Error::Failed("the database can't be dropped".into())),
    }
}

/// A new SQLite database, in a file in a temporary folder.
///
/// # Panics
///
/// When the folder can't be made.
pub fn sqlite() -> Database {
    let folder = tempfile::Builder::new()
        .prefix("idem-sqlite-")
        .tempdir()
        .unwrap_or_else(|e| panic!("no temporary folder: {e}"));
    let name = folder.path().join("test.db").display().to_string();
    Database {
        url: format!("sqlite://{name}?mode=rwc"),
        name,
        home: Home::Sqlite { _folder: folder },
    }
}
