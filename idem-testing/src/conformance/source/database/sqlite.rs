//! SQLite.

#![allow(
    unreachable_pub,
    reason = "the handler is as public as on the other databases, and is reached through a route"
)]

use std::net::SocketAddr;

use idem_runtime::{Error, Received, Route, idempotent};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Pool, Row as _, Sqlite, raw_sql};

use super::{ConnectOptions, SourceDatabase, database};
use crate::conformance::source::script::{Script, Step, StepError};

database!(
    sqlx::Sqlite,
    sqlx::SqliteConnection,
    "idem_testing.conformance.sqlite",
    WaitAndApply,
    false
);

/// There is one writer: a handler that waited in its transaction would hold up all others, and what
/// stores messages.
#[derive(Debug)]
pub struct WaitAndApply;

impl Route<Sqlite> for WaitAndApply {
    type Message = Step;
    type Context = Script;
    type Error = Error<StepError>;

    const SCOPE: &'static str = <Apply as Route<Sqlite>>::SCOPE;

    async fn deliver(
        pool: &Pool<Sqlite>,
        message: &Received<Step>,
        script: &Script,
    ) -> Result<(), Error<StepError>> {
        script.begin(message).await;
        <Apply as Route<Sqlite>>::deliver(pool, message, script).await
    }
}

/// A file: nothing stands between it and its reader.
const fn server(_: &SqliteConnectOptions) -> Option<String> {
    None
}

const fn through(options: SqliteConnectOptions, _: SocketAddr) -> SqliteConnectOptions {
    options
}
