//! A private PostgreSQL.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection as _, PgConnection};

use super::account::Account;
use super::database::{Database, Home};
use super::folder::folder;
use super::process::{Launch, Process, free_port, with_retries};
use super::{Error, Options, locale, program, template};

const NAME: &str = "PostgreSQL";
const PACKAGE: &str = "postgresql";

/// A running PostgreSQL, whose superuser is `postgres`, without a password.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: u16,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts a server.
    ///
    /// # Errors
    ///
    /// When its programs are missing, or it does not come up; the error carries its log.
    pub async fn start(options: Options) -> Result<Self, Error> {
        with_retries(|| Self::start_once(&options)).await
    }

    async fn start_once(options: &Options) -> Result<Self, Error> {
        let mut folders = options.programs.clone();
        folders.extend(program::chosen("IDEM_POSTGRES_PROGRAMS"));
        folders.extend(program::postgres_folders());
        let initdb = program::find("initdb", PACKAGE, &folders)?;
        let server = program::find("postgres", PACKAGE, &folders)?;

        let account = Account::unprivileged()?;
        let folder = folder(&account)?;
        let data = folder.path().join("data");
        template::copy(&template::name(&server)?, &account, &data, |data| {
            prepare(&account, &initdb, data)
        })?;

        let port = free_port()?;
        let mut launch = Launch {
            arguments: arguments(options, &data, port),
            environment: Vec::new(),
            program: server,
            // Immediate shutdown: no checkpoint, and no server process left waiting for clients.
            signal: "QUIT",
        };
        if let Some(language) = &options.messages {
            let locales = locale::compile(language, &account, folder.path())?;
            launch
                .environment
                .push(("LOCPATH".into(), locales.display().to_string()));
        }
        let process = Process::start(folder, &account, &launch)?;
        let server = Self {
            process,
            port,
            databases: AtomicU32::new(0),
        };
        server.wait_until_ready().await?;
        if options.messages.is_some() {
            server.must_speak_another_language().await?;
        }
        Ok(server)
    }

    async fn wait_until_ready(&self) -> Result<(), Error> {
        let data = self.process.folder().join("data");
        let probe = async || {
            let mut connection = PgConnection::connect(&self.url("postgres")).await?;
            let served: String = sqlx::query_scalar("SHOW data_directory")
                .fetch_one(&mut connection)
                .await?;
            connection.close().await?;
            if Path::new(&served) == data {
                return Ok(());
            }
            Err(Error::Failed(format!(
                "port {} is another server's",
                self.port
            )))
        };
        self.process.wait_until_ready(NAME, probe).await
    }

    async fn must_speak_another_language(&self) -> Result<(), Error> {
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        let answer = sqlx::raw_sql("SELECT 1/0").execute(&mut connection).await;
        let message = answer.err().map(|e| e.to_string()).unwrap_or_default();
        locale::must_be_translated(&message, "division by zero")
    }

    /// Creates an empty database.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub async fn database(&self) -> Database {
        self.create_database()
            .await
            .unwrap_or_else(|e| panic!("no database on the private {NAME}: {e}"))
    }

    async fn create_database(&self) -> Result<Database, Error> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let admin = self.url("postgres");
        let mut connection = PgConnection::connect(&admin).await?;
        // Unlike template1, nobody can be connected to template0, which would fail the copy.
        let statement = format!("CREATE DATABASE {name} TEMPLATE template0");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(Database {
            url: self.url(&name),
            name,
            home: Home::Postgres {
                admin,
                address: self.address(),
            },
        })
    }

    /// The URL of one of the server's databases, as the superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address())
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The server's main process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The folder with the server's data and log.
    pub fn folder(&self) -> &Path {
        self.process.folder()
    }

    /// Everything that the server has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Ends the server at once, with every connection, as a crash would. [`Postgres::restart`]
    /// recovers from its log.
    ///
    /// # Errors
    ///
    /// When the server can't be signalled.
    pub fn crash(&mut self) -> Result<(), Error> {
        self.process.crash()
    }

    /// Starts the server again on the same port and data.
    ///
    /// # Errors
    ///
    /// When it does not come up; the error carries its log.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.process.restart()?;
        self.wait_until_ready().await
    }
}

fn prepare(account: &Account, initdb: &Path, data: &Path) -> Result<(), Error> {
    let mut command = account.command(initdb);
    command
        .args(["--no-sync", "--no-instructions", "--auth=trust"])
        .args(["--username=postgres", "--encoding=UTF8", "--locale=C"])
        .arg("-D")
        .arg(data)
        // The tests' own folder may be closed to that account.
        .current_dir("/")
        .env("LC_ALL", "C");
    template::run(&mut command)
}

fn arguments(options: &Options, data: &Path, port: u16) -> Vec<String> {
    let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
    let mut set = |name: &str, value: &str| {
        arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
    };
    set("listen_addresses", "127.0.0.1");
    set("port", &port.to_string());
    // Another server's socket could lie in the default folder.
    set("unix_socket_directories", "");
    set("max_connections", "400");
    if !options.durable {
        set("fsync", "off");
        set("synchronous_commit", "off");
        set("full_page_writes", "off");
    }
    if let Some(language) = &options.messages {
        set("lc_messages", &format!("{language}.UTF-8"));
    }
    for (name, value) in &options.settings {
        set(name, value);
    }
    arguments
}
