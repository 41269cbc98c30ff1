//! Copies of a database that the explorer runs a handler on, and what they hold afterwards.
//!
//! The order of calls: [`open_template`](CloneDatabase::open_template) once. For each run
//! [`copy`](CloneDatabase::copy), a pool with [`connect_options`](CloneDatabase::connect_options),
//! the run itself, `pool.close()`, [`open_transactions`](CloneDatabase::open_transactions),
//! [`snapshot`](CloneDatabase::snapshot), [`discard`](CloneDatabase::discard). At the end
//! [`close_template`](CloneDatabase::close_template). If a run is to get other numbers from the
//! database, [`advance_sequences`](CloneDatabase::advance_sequences) comes between the copy and the
//! pool. All of these take a shared template, and may run at the same time on several copies. The
//! URL of a copy, for a process of its own, is `connect_options(..).to_url_lossy()`.

mod catalog;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod migrated;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod route;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::SystemTime;

#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
use futures_util::{TryStreamExt as _, stream::BoxStream};
use idem_runtime::__testing::Store;
use sqlx::Connection;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
use sqlx::Either;

use crate::comparison::snapshot::Snapshot;
use crate::setup_error::SetupError;

/// A database whose copies can be made and compared.
#[doc(hidden)]
pub trait CloneDatabase: Store {
    /// The user's database, which is only read, and what copies are made from.
    type Template: fmt::Debug + Send + Sync + 'static;

    /// Checks that the database at `url` can be explored, reads it, and removes copies that were
    /// left by an exploration whose process is gone.
    fn open_template(url: &str) -> impl Future<Output = Result<Self::Template, SetupError>> + Send;

    /// Where the server listens; `None` if there is no server.
    fn server_address(template: &Self::Template) -> Option<SocketAddr>;

    /// A fresh copy under a new name.
    fn copy(
        template: &Self::Template,
    ) -> impl Future<Output = Result<DatabaseCopy, SetupError>> + Send;

    /// How to connect to a copy, as the URL says; through `via` if given, without TLS then.
    fn connect_options(
        template: &Self::Template,
        copy: &DatabaseCopy,
        via: Option<SocketAddr>,
    ) -> <Self::Connection as Connection>::Options;

    /// Moves every sequence and every other source of numbers on, each by a different amount.
    fn advance_sequences(
        template: &Self::Template,
        copy: &DatabaseCopy,
    ) -> impl Future<Output = Result<(), SetupError>> + Send;

    /// Reads all tables, without waiting for locks that a run left behind.
    fn snapshot(
        template: &Self::Template,
        copy: &DatabaseCopy,
    ) -> impl Future<Output = Result<Snapshot, SetupError>> + Send;

    /// Transactions of others that are still open on this copy, one sentence each.
    fn open_transactions(
        template: &Self::Template,
        copy: &DatabaseCopy,
    ) -> impl Future<Output = Result<Vec<String>, SetupError>> + Send;

    /// Removes a copy, also if there are connections to it.
    fn discard(
        template: &Self::Template,
        copy: DatabaseCopy,
    ) -> impl Future<Output = Result<(), SetupError>> + Send;

    /// Removes what copies were made from.
    fn close_template(
        template: Self::Template,
    ) -> impl Future<Output = Result<(), SetupError>> + Send;
}

/// A copy that one run works on.
#[derive(Debug)]
pub struct DatabaseCopy {
    /// The database's name; for SQLite the path of its file.
    pub(crate) name: String,
    pub(crate) since: SystemTime,
}

impl DatabaseCopy {
    /// A copy of this name, which is random, so that two explorations never meet.
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

    /// Sets the start of the time in which rows may say that they were written. Call it when a run
    /// begins long after its copy was made.
    pub fn start(&mut self) {
        self.since = SystemTime::now();
    }
}

/// How long the connections of a run may take to end: a pool that closes does not wait for the
/// server.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) const SETTLED_WITHIN: std::time::Duration = std::time::Duration::from_millis(300);

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
