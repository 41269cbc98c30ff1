//! A private PgBouncer in transaction pooling.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::account::Account;
use super::database::{Database, Home};
use super::folder::folder;
use super::process::{Launch, Process, free_port, with_retries};
use super::{Error, Options, Postgres, program};

const NAME: &str = "PgBouncer";

/// A running PgBouncer, which gives a server connection to a client for one transaction at a time.
///
/// Up to version 1.20 it knows nothing of prepared statements: connect with
/// `statement_cache_capacity(0)`.
#[derive(Debug)]
pub struct PgBouncer {
    process: Process,
    port: u16,
    behind: SocketAddr,
}

impl PgBouncer {
    /// Starts a pooler in front of `behind`.
    ///
    /// # Errors
    ///
    /// When its program is missing, or it does not come up; the error carries its log.
    pub async fn start(behind: &Postgres, options: Options) -> Result<Self, Error> {
        with_retries(|| Self::start_once(behind.address(), &options)).await
    }

    async fn start_once(behind: SocketAddr, options: &Options) -> Result<Self, Error> {
        let program = program::find("pgbouncer", "pgbouncer", &options.programs)?;
        let account = Account::unprivileged()?;
        let folder = folder(&account)?;
        let port = free_port()?;

        let users = folder.path().join("users");
        write(&account, &users, "\"postgres\" \"\"\n")?;
        let configuration = folder.path().join("pgbouncer.ini");
        write(
            &account,
            &configuration,
            &settings(options, behind, port, &users),
        )?;
        let launch = Launch {
            program,
            arguments: vec![configuration.display().to_string()],
            environment: Vec::new(),
            signal: "KILL",
        };
        let process = Process::start(folder, &account, &launch)?;
        let server = Self {
            process,
            port,
            behind,
        };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&self) -> Result<(), Error> {
        let probe = async || {
            let mut connection = PgConnectOptions::new_without_pgpass()
                .host(&self.address().ip().to_string())
                .port(self.port)
                .username("postgres")
                .database("postgres")
                .statement_cache_capacity(0)
                .connect()
                .await?;
            let port: i32 = sqlx::query_scalar("SELECT inet_server_port()")
                .persistent(false)
                .fetch_one(&mut connection)
                .await?;
            connection.close().await?;
            if port == i32::from(self.behind.port()) {
                return Ok(());
            }
            Err(Error::Failed(format!(
                "port {} is another server's",
                self.port
            )))
        };
        self.process.wait_until_ready(NAME, probe).await
    }

    /// Creates an empty database on the shared PostgreSQL and leads to it through the pooler.
    ///
    /// # Panics
    ///
    /// When `behind` is not the PostgreSQL that this pooler was started for, or refuses.
    pub async fn database_on(&self, behind: &Postgres) -> Database {
        assert_eq!(behind.address(), self.behind, "a pooler of another server");
        let behind = behind.database().await;
        let address = self.address();
        Database {
            url: behind.url_through(address),
            name: behind.name.clone(),
            home: Home::Pooled {
                behind: Box::new(behind),
                address,
            },
        }
    }

    /// [`PgBouncer::database_on`] for the servers that the tests of this process share.
    pub async fn database(&self) -> Database {
        self.database_on(super::postgres()).await
    }

    /// Where the pooler listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The pooler's process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The folder with the pooler's configuration and log.
    pub fn folder(&self) -> &Path {
        self.process.folder()
    }

    /// Everything that the pooler has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn write(account: &Account, path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|e| Error::io(path, e))?;
    account.own(path)
}

fn settings(options: &Options, behind: SocketAddr, port: u16, users: &Path) -> String {
    let mut text = format!(
        "[databases]\n\
         * = host={} port={}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = trust\n\
         auth_file = {}\n\
         pool_mode = transaction\n\
         max_client_conn = 1000\n\
         default_pool_size = 20\n\
         ignore_startup_parameters = extra_float_digits,options\n",
        behind.ip(),
        behind.port(),
        users.display(),
    );
    for (name, value) in &options.settings {
        text.push_str(name);
        text.push_str(" = ");
        text.push_str(value);
        text.push('\n');
    }
    text
}
