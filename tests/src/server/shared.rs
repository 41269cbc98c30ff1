//! The one server of each kind that all tests of a process share.

use std::sync::OnceLock;

use super::off_runtime::off_runtime;
use super::{Error, MariaDb, Options, PgBouncer, Postgres};

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
