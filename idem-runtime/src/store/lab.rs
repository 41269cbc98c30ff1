//! Copies of a database that the explorer runs a handler on, and what they hold afterwards.
//!
//! The order of calls: [`open_template`](Lab::open_template) once; for each run [`copy`](Lab::copy), a pool by
//! [`connect_options`](Lab::connect_options), the run itself, `pool.close()`, [`open_transactions`](Lab::open_transactions),
//! [`snapshot`](Lab::snapshot), [`discard`](Lab::discard); at the end [`close_template`](Lab::close_template). A run whose
//! numbers shall differ gets [`burn`](Lab::burn) between the copy and the pool. All of them take a shared template, and
//! may run at once on several copies. The URL of a copy, for a process of its own, is
//! `connect_options(..).to_url_lossy()`.

mod catalog;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::SystemTime;

#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
use futures_util::{TryStreamExt as _, stream::BoxStream};
use sqlx::Connection;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
use sqlx::Either;

use super::Store;
use crate::testing::Snapshot;

#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub(crate) use catalog::{Catalog, Described, Form};

/// A database whose copies can be made and compared.
#[doc(hidden)]
pub trait Lab: Store {
    /// The user's database, which is only read, and what copies are made from.
    type Template: fmt::Debug + Send + Sync + 'static;

    /// Checks that the database at `url` is fit, reads it, and removes copies that an exploration left whose process
    /// is gone.
    fn open_template(url: &str) -> impl Future<Output = Result<Self::Template, LabError>> + Send;

    /// Where the server listens; None where there is no server.
    fn server_address(template: &Self::Template) -> Option<SocketAddr>;

    /// A fresh copy under a new name.
    fn copy(template: &Self::Template) -> impl Future<Output = Result<Specimen, LabError>> + Send;

    /// How to connect to a copy, as the URL says: past `via` if given, in plain text then.
    fn connect_options(
        template: &Self::Template,
        specimen: &Specimen,
        via: Option<SocketAddr>,
    ) -> <Self::Connection as Connection>::Options;

    /// Lets every sequence and every other source of numbers skip an amount of its own.
    fn burn(
        template: &Self::Template,
        specimen: &Specimen,
    ) -> impl Future<Output = Result<(), LabError>> + Send;

    /// Reads all tables, without waiting for locks that a run left behind.
    fn snapshot(
        template: &Self::Template,
        specimen: &Specimen,
    ) -> impl Future<Output = Result<Snapshot, LabError>> + Send;

    /// What others have open on this copy and did not end, one sentence each.
    fn open_transactions(
        template: &Self::Template,
        specimen: &Specimen,
    ) -> impl Future<Output = Result<Vec<String>, LabError>> + Send;

    /// Removes a copy, whoever is still connected to it.
    fn discard(
        template: &Self::Template,
        specimen: Specimen,
    ) -> impl Future<Output = Result<(), LabError>> + Send;

    /// Removes what copies were made from.
    fn close_template(
        template: Self::Template,
    ) -> impl Future<Output = Result<(), LabError>> + Send;
}

/// A copy that one run works on.
#[derive(Debug)]
pub struct Specimen {
    /// The database's name; for SQLite the path of its file.
    pub(crate) name: String,
    pub(crate) since: SystemTime,
}

impl Specimen {
    /// Which names copies: random, so that two explorations never meet.
    pub(crate) fn named(name: String) -> Self {
        Self {
            name,
            since: SystemTime::now(),
        }
    }

    /// The database's name; for SQLite the path of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts the time over in which rows may say that they were written: call it where a run begins long after
    /// its copy was made.
    pub fn start(&mut self) {
        self.since = SystemTime::now();
    }
}

/// Why a database can't be explored.
#[derive(Debug)]
pub struct LabError {
    message: String,
    source: Option<sqlx::Error>,
}

impl LabError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    /// What failed, in front of the database's own words.
    pub(crate) fn sql(doing: impl fmt::Display) -> impl FnOnce(sqlx::Error) -> Self {
        move |error| Self {
            message: format!("{doing}: {error}"),
            source: Some(error),
        }
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LabError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

/// How long what a run left open may take to end: a pool that closes tells the server and does not wait for it.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) const SETTLED_WITHIN: std::time::Duration = std::time::Duration::from_millis(300);

pub(crate) fn not_migrated(database: &str) -> LabError {
    LabError::new(format!(
        "the tables of idem are not in the database `{database}`, or older than this release: \
         `idem_runtime::migrate(&pool).await` creates them"
    ))
}

/// How a URL leads to its server.
#[cfg(any(feature = "postgres", feature = "mysql"))]
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) is_socket: bool,
    pub(crate) demands_tls: bool,
    /// What the URL says to have TLS only where the server offers it.
    pub(crate) plain: &'static str,
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
impl Route<'_> {
    /// Where the server listens, for the proxy that stands in between.
    pub(crate) async fn address(&self) -> Result<SocketAddr, LabError> {
        if self.is_socket {
            return Err(LabError::new(
                "the URL leads to a Unix socket, and the explorer stands between as a TCP proxy: give a host and a port",
            ));
        }
        if self.demands_tls {
            return Err(LabError::new(format!(
                "the URL demands TLS, and the explorer reads what passes between handler and server: explore a server \
                 that takes plain connections, with `{}`",
                self.plain
            )));
        }
        // A URL has an IPv6 address in brackets.
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let unknown =
            |why: String| LabError::new(format!("the host `{host}` of the URL is unknown: {why}"));
        let mut addresses = tokio::net::lookup_host((host, self.port))
            .await
            .map_err(|error| unknown(error.to_string()))?;
        let first = addresses.next();
        first.ok_or_else(|| unknown("it has no address".into()))
    }
}

/// The rows of each statement of a batch.
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub(crate) async fn results<Q, R>(
    mut stream: BoxStream<'_, Result<Either<Q, R>, sqlx::Error>>,
) -> Result<Vec<Vec<R>>, sqlx::Error> {
    let mut results = Vec::new();
    let mut rows = Vec::new();
    while let Some(step) = stream.try_next().await? {
        match step {
            Either::Left(_) => results.push(std::mem::take(&mut rows)),
            Either::Right(row) => rows.push(row),
        }
    }
    Ok(results)
}
