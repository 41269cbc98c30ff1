//! Whether the database at a URL can be explored.

use idem_runtime::__testing::mysql::number;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, MySql, MySqlPool, raw_sql};

use super::sql::{INFIX, drop_database, required, rows};
use crate::clone_database::migrated::require_migrated;
use crate::clone_database::route::Route;
use crate::setup_error::SetupError;

pub(super) fn route(options: &MySqlConnectOptions) -> Route<'_> {
    Route {
        host: options.get_host(),
        port: options.get_port(),
        is_socket: options.get_socket().is_some(),
        demands_tls: matches!(
            options.get_ssl_mode(),
            MySqlSslMode::Required | MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity
        ),
        plain: "ssl-mode=preferred",
    }
}

/// The user's database, by name.
pub(super) async fn source(options: &MySqlConnectOptions) -> Result<String, SetupError> {
    let Some(name) = options.get_database() else {
        return Err(SetupError::new(
            "the URL names no database, which is what copies are made of: mysql://host/database",
        ));
    };
    require_migrated::<MySql>(options.clone(), name).await?;
    Ok(name.to_owned())
}

/// A connection with a lock that says who our databases belong to.
pub(super) async fn owner(
    options: &MySqlConnectOptions,
    token: &str,
) -> Result<MySqlConnection, SetupError> {
    let failed = || SetupError::sql("the database can't be connected to");
    let mut conn = options.connect().await.map_err(failed())?;
    let sql = format!("SET SESSION wait_timeout = 86400; SELECT GET_LOCK('{INFIX}{token}', 0)");
    let locked = raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await;
    locked.map_err(failed())?;
    Ok(conn)
}

/// Drops the copies of explorations that were killed: their locks are free, and names are never
/// used twice.
pub(super) async fn remove_stale(admin: &MySqlPool) -> Result<(), SetupError> {
    let sql = format!(
        "SELECT schema_name FROM information_schema.schemata \
         WHERE schema_name REGEXP '{INFIX}[0-9a-f]{{16}}(_[0-9]+)?$' \
           AND IS_FREE_LOCK(REGEXP_SUBSTR(schema_name, '{INFIX}[0-9a-f]{{16}}')) = 1"
    );
    let failed = || SetupError::sql("the server's catalog can't be read");
    for row in rows(admin, sql).await.map_err(failed())? {
        // Another exploration may be doing the same.
        let name = required(&row, 0).map_err(failed())?;
        let _ = drop_database(admin, &name).await;
    }
    Ok(())
}

/// A grant on the user's database is not a grant on copies of it.
pub(super) fn not_granted(
    source: &str,
    other: impl FnOnce(sqlx::Error) -> SetupError,
) -> impl FnOnce(sqlx::Error) -> SetupError {
    let pattern = source.replace('_', "\\_");
    let grant = format!(
        "the role of the URL may not create databases, and every run works on a copy: GRANT ALL ON \
         `{pattern}\\_idem\\_copy\\_%`.* TO it"
    );
    move |error| match number(&error) {
        Some(1044 | 1142 | 1227 | 1370) => SetupError::sql(grant)(error),
        _ => other(error),
    }
}
