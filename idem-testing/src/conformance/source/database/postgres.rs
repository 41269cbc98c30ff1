//! PostgreSQL.

use std::net::SocketAddr;

use idem_runtime::{Received, idempotent};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Pool, Row as _, raw_sql};

use super::{ConnectOptions, SourceDatabase, database};
use crate::conformance::source::script::{Script, Step, StepError};

database!(
    sqlx::Postgres,
    sqlx::PgConnection,
    "idem_testing.conformance.postgres",
    Apply,
    true
);

fn server(options: &PgConnectOptions) -> Option<String> {
    if options.get_socket().is_some() {
        return None;
    }
    Some(format!("{}:{}", options.get_host(), options.get_port()))
}

fn through(options: PgConnectOptions, proxy: SocketAddr) -> PgConnectOptions {
    options.host(&proxy.ip().to_string()).port(proxy.port())
}
