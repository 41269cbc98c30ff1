//! MySQL and MariaDB.

use std::net::SocketAddr;

use idem_runtime::{Received, idempotent};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, Pool, Row as _, raw_sql};

use super::{ConnectOptions, SourceDatabase, database};
use crate::conformance::source::script::{Script, Step, StepError};

database!(
    sqlx::MySql,
    sqlx::MySqlConnection,
    "idem_testing.conformance.mysql",
    Apply,
    true
);

fn server(options: &MySqlConnectOptions) -> Option<String> {
    if options.get_socket().is_some() {
        return None;
    }
    Some(format!("{}:{}", options.get_host(), options.get_port()))
}

fn through(options: MySqlConnectOptions, proxy: SocketAddr) -> MySqlConnectOptions {
    options.host(&proxy.ip().to_string()).port(proxy.port())
}
