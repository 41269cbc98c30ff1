//! A private MariaDB.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection as _, MySqlConnection};

use super::account::Account;
use super::database::{Database, Home};
use super::folder::folder;
use super::process::{Launch, Process, free_port, with_retries};
use super::{Error, Options, locale, program, template};

const NAME: &str = "MariaDB";
const PACKAGE: &str = "mariadb-server";

/// A running MariaDB, whose superuser is `root`, without a password.
#[derive(Debug)]
pub struct MariaDb {
    process: Process,
    port: u16,
    databases: AtomicU32,
}

impl MariaDb {
    /// Starts a server.
    ///
    /// # Errors
    ///
    /// When its programs are missing, or it does not come up; the error carries its log.
    pub async fn start(options: Options) -> Result<Self, Error> {
        with_retries(|| Self::start_once(&options)).await
    }

    async fn start_once(options: &Options) -> Result<Self, Error> {
        let mysql = program::chosen("IDEM_MYSQL_PROGRAMS").map(|folder| folder.join("mysqld"));
        let (install, server) = match &mysql {
            Some(mysqld) => (mysqld.clone(), mysqld.clone()),
            None => (
                program::find("mariadb-install-db", PACKAGE, &options.programs)?,
                program::find("mariadbd", PACKAGE, &options.programs)?,
            ),
        };

        let account = Account::unprivileged()?;
        let folder = folder(&account)?;
        let data = folder.path().join("data");
        template::copy(
            &template::name(&server)?,
            &account,
            &data,
            |data| match &mysql {
                Some(_) => prepare_mysql(&account, &install, data),
                None => prepare(&account, &install, data),
            },
        )?;

        // In a folder that servers share, one that starts deletes the temporary tables of the
        // others.
        let temporary = folder.path().join("tmp");
        fs::create_dir(&temporary).map_err(|e| Error::io(&temporary, e))?;
        account.own(&temporary)?;

        let port = free_port()?;
        let launch = Launch {
            arguments: arguments(options, mysql.is_some(), &data, &temporary, port),
            environment: Vec::new(),
            program: server,
            // It has no signal for an immediate shutdown; an orderly one writes all pages first.
            signal: "KILL",
        };
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
            let mut connection = MySqlConnection::connect(&self.url("mysql")).await?;
            let served: String = sqlx::query_scalar("SELECT @@datadir")
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
        let mut connection = MySqlConnection::connect(&self.url("mysql")).await?;
        let answer = sqlx::raw_sql("SELECT * FROM missing")
            .execute(&mut connection)
            .await;
        let message = answer.err().map(|e| e.to_string()).unwrap_or_default();
        locale::must_be_translated(&message, "doesn't exist")
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
        let admin = self.url("mysql");
        let mut connection = MySqlConnection::connect(&admin).await?;
        let statement = format!("CREATE DATABASE {name}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(Database {
            url: self.url(&name),
            name,
            home: Home::MariaDb {
                admin,
                address: self.address(),
            },
        })
    }

    /// The URL of one of the server's databases, as the superuser.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@{}/{database}", self.address())
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The server's process.
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

    /// Ends the server at once, with every connection, as a crash would. [`MariaDb::restart`]
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

fn prepare(account: &Account, install: &Path, data: &Path) -> Result<(), Error> {
    let mut command = account.command(install);
    command
        .args(["--no-defaults", "--skip-test-db"])
        .args(["--auth-root-authentication-method=normal", LOG_SIZE])
        .arg(format!("--datadir={}", data.display()))
        // The tests' own folder may be closed to that account.
        .current_dir("/");
    template::run(&mut command)
}

fn prepare_mysql(account: &Account, mysqld: &Path, data: &Path) -> Result<(), Error> {
    let mut command = account.command(mysqld);
    command
        .args(["--no-defaults", "--initialize-insecure"])
        .arg(format!("--datadir={}", data.display()))
        .current_dir("/");
    template::run(&mut command)
}

/// A tenth of the default: it is most of what a copy of the data folder copies.
const LOG_SIZE: &str = "--innodb-log-file-size=10M";

fn arguments(
    options: &Options,
    mysql: bool,
    data: &Path,
    temporary: &Path,
    port: u16,
) -> Vec<String> {
    let mut arguments = vec![
        // Must come first: the machine's own configuration is for the machine's own server.
        "--no-defaults".to_owned(),
        format!("--datadir={}", data.display()),
        format!("--tmpdir={}", temporary.display()),
        format!("--port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        // Relative to the data folder: an absolute path can be too long for a socket.
        "--socket=server.sock".to_owned(),
        format!("--pid-file={}", data.join("server.pid").display()),
        "--max-connections=400".to_owned(),
        "--innodb-buffer-pool-size=64M".to_owned(),
    ];
    arguments.extend(if mysql {
        [
            "--mysqlx=0",
            "--innodb-redo-log-capacity=16M",
            "--performance-schema=OFF",
        ]
        .map(str::to_owned)
        .to_vec()
    } else {
        vec![LOG_SIZE.to_owned()]
    });
    if !options.durable {
        arguments.push("--innodb-flush-log-at-trx-commit=2".to_owned());
        let method = if mysql { "fsync" } else { "nosync" };
        arguments.push(format!("--innodb-flush-method={method}"));
    }
    if let Some(language) = &options.messages {
        arguments.push(format!("--lc-messages={language}"));
    }
    for (name, value) in &options.settings {
        arguments.push(format!("--{}={value}", name.replace('_', "-")));
    }
    arguments
}
