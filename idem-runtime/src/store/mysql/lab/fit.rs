//! Whether the database at a URL can be explored.

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, MySql, MySqlPool, raw_sql};

use super::{INFIX, drop_database, number, required, rows};
use crate::store::Store as _;
use crate::store::lab::{LabError, Route, not_migrated};
use crate::store::mysql::schema::schema_version;

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
pub(super) async fn source(options: &MySqlConnectOptions) -> Result<String, LabError> {
    let Some(name) = options.get_database() else {
        return Err(LabError::new(
            "the URL names no database, which is what copies are made of: mysql://host/database",
        ));
    };
    let failed = || LabError::sql("the database can't be read");
    let conn = options.connect().await;
    let mut conn = conn.map_err(LabError::sql("the database can't be connected to"))?;
    let version = schema_version(&mut conn).await.map_err(failed())?;
    if version.is_none_or(|version| (version as usize) < MySql::MIGRATIONS.len()) {
        return Err(not_migrated(name));
    }
    conn.close().await.map_err(failed())?;
    Ok(name.to_owned())
}

/// A connection with a lock that says who our databases belong to.
pub(super) async fn owner(
    options: &MySqlConnectOptions,
    token: &str,
) -> Result<MySqlConnection, LabError> {
    let failed = || LabError::sql("the database can't be connected to");
    let mut conn = options.connect().await.map_err(failed())?;
    let sql = format!("SET SESSION wait_timeout = 86400; SELECT GET_LOCK('{INFIX}{token}', 0)");
    let locked = raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await;
    locked.map_err(failed())?;
    Ok(conn)
}

/// Drops what explorations left that were killed: their locks are free, and names are never used twice.
pub(super) async fn remove_stale(admin: &MySqlPool) -> Result<(), LabError> {
    let sql = format!(
        "SELECT schema_name FROM information_schema.schemata \
         WHERE schema_name REGEXP '{INFIX}[0-9a-f]{{16}}(_[0-9]+)?$' \
           AND IS_FREE_LOCK(REGEXP_SUBSTR(schema_name, '{INFIX}[0-9a-f]{{16}}')) = 1"
    );
    let failed = || LabError::sql("the server's catalog can't be read");
    for row in rows(admin, sql).await.map_err(failed())? {
        // Another exploration may be at it, too.
        let name = required(&row, 0).map_err(failed())?;
        let _ = drop_database(admin, &name).await;
    }
    Ok(())
}

/// What is granted on the user's database is not granted on others.
pub(super) fn refused(
    source: &str,
    other: impl FnOnce(sqlx::Error) -> LabError,
) -> impl FnOnce(sqlx::Error) -> LabError {
    let pattern = source.replace('_', "\\_");
    let grant = format!(
        "the role of the URL may not create databases, and every run works on a copy: GRANT ALL ON \
         `{pattern}\\_idem\\_lab\\_%`.* TO it"
    );
    move |error| match number(&error) {
        Some(1044 | 1142 | 1227 | 1370) => LabError::sql(grant)(error),
        _ => other(error),
    }
}
