//! The suite for sources.

mod bed;
mod cases;
pub(super) mod database;
mod gate;
mod instance;
mod script;
pub(super) mod target;
mod watched;

use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;

use idem_runtime::migrate;
use sqlx::pool::PoolOptions;

use super::report::ConformanceReport;
use bed::Shared;
use database::{ConnectOptions, SourceDatabase};
use target::SourceTarget;

/// Set to `long`, it plays the sizes of a night.
const SIZE: &str = "IDEM_CONFORMANCE";

/// Runs all cases for sources against this target, one after the other; see the
/// [module](crate::conformance).
///
/// The consumers have the database at this URL: it gets this crate's tables and one of the suite's
/// own, so take an empty one. Takes about half a minute, most of it waits for deadlines and for an
/// outage. A case that does not end within [`time_limit`](SourceTarget::time_limit) is a violation.
///
/// # Panics
/// If the database can't be reached.
pub async fn source<DB, T>(target: T, url: &str) -> ConformanceReport
where
    DB: SourceDatabase,
    ConnectOptions<DB>: FromStr<Err: Debug>,
    T: SourceTarget,
{
    source_cases::<DB, T>(target, url, |_| true).await
}

/// Runs the cases whose name is wanted.
#[doc(hidden)]
pub async fn source_cases<DB, T>(
    target: T,
    url: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> ConformanceReport
where
    DB: SourceDatabase,
    ConnectOptions<DB>: FromStr<Err: Debug>,
    T: SourceTarget,
{
    let options: ConnectOptions<DB> = url.parse().expect("it is a URL of this database");
    let pool = PoolOptions::<DB>::new().max_connections(4);
    let pool = pool.connect_with(options.clone()).await;
    let pool = pool.expect("the database can be reached");
    migrate(&pool).await.expect("the database can be migrated");
    DB::prepare(&pool).await.expect("a table can be created");
    let shared = Shared {
        target: Arc::new(target),
        options,
        pool,
        is_long: std::env::var(SIZE).is_ok_and(|size| size == "long"),
    };
    cases::run(&shared, is_wanted).await
}
