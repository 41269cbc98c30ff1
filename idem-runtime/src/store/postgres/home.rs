//! Where the tables are: the schema and the namespace, as a connection finds them.

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Postgres, Row as _};

use super::call::IN_TRANSACTION;
use super::round_trip::fetch_last;
use crate::store::verdict::verdict;
use crate::store::{ErrorClass, Home, Store as _};

/// Whether a transaction is open, and what `idem_home` says. It reads the catalog alone, so that it
/// can't fail: in a transaction of somebody else an error would abort that transaction.
const FIND: &str = "\
    pg_namespace.nspname::text, \
    CASE WHEN pg_catalog.to_regclass(pg_catalog.quote_ident(pg_namespace.nspname) || '.idem_schema') IS NOT NULL \
        THEN pg_proc.prosrc END \
    FROM (VALUES (1)) AS one \
    LEFT JOIN pg_catalog.pg_proc ON pg_proc.oid = pg_catalog.to_regprocedure(pg_catalog.concat( \
        pg_catalog.quote_ident(nullif(pg_catalog.current_setting('idem.home', true), '')) || '.', 'idem_home()')) \
    LEFT JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pg_proc.pronamespace";

fn find_sql() -> String {
    format!("SELECT {IN_TRANSACTION}, {FIND}")
}

/// What `idem_home` says, and where it was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The version of the tables.
    pub(super) version: u32,
    /// The schema that the functions were made for.
    pub(super) made_for: String,
    pub(super) home: Home,
}

impl Found {
    /// Whether the functions lead to the tables of their own schema.
    pub(super) fn is_settled(&self) -> bool {
        self.made_for == self.home.schema
    }
}

pub(super) async fn find(conn: &mut PgConnection) -> Result<Home, sqlx::Error> {
    let joined = Postgres::depth(conn, 0).await? > 0;
    let row = match fetch_last(conn, find_sql()).await {
        Err(error) if !joined => return Err(foreign_if_aborted(error)),
        answer => answer?.ok_or(sqlx::Error::RowNotFound)?,
    };
    if !joined && row.try_get(0)? {
        return Err(verdict(ErrorClass::ForeignTransaction));
    }
    match found(&row)? {
        Some(found) if found.is_settled() => Ok(found.home),
        _ => Err(verdict(ErrorClass::NotMigrated)),
    }
}

/// The same, whatever transaction is open, and whether or not the schema was renamed.
pub(super) async fn find_any(conn: &mut PgConnection) -> Result<Option<Found>, sqlx::Error> {
    let row = fetch_last(conn, find_sql()).await?;
    found(&row.ok_or(sqlx::Error::RowNotFound)?)
}

fn found(row: &PgRow) -> Result<Option<Found>, sqlx::Error> {
    let (Some(schema), Some(source)) = (
        row.try_get::<Option<String>, _>(1)?,
        row.try_get::<Option<&str>, _>(2)?,
    ) else {
        return Ok(None);
    };
    Ok(parse(source).map(|(version, namespace, made_for)| Found {
        version,
        made_for,
        home: Home { schema, namespace },
    }))
}

/// Reads `SELECT '1 <namespace> <schema>'`.
fn parse(source: &str) -> Option<(u32, uuid::Uuid, String)> {
    let (_, rest) = source.split_once('\'')?;
    let (text, _) = rest.rsplit_once('\'')?;
    let mut words = text.splitn(3, ' ');
    let version = words.next()?.parse().ok()?;
    let namespace = words.next()?.parse().ok()?;
    Some((version, namespace, words.next()?.replace("''", "'")))
}

/// What an error means on a connection that should have been in no transaction. In a transaction
/// that is aborted every statement fails by this code, BEGIN too.
pub(super) fn foreign_if_aborted(error: sqlx::Error) -> sqlx::Error {
    let code = error.as_database_error().and_then(DatabaseError::code);
    if code.as_deref() == Some("25P02") {
        return verdict(ErrorClass::ForeignTransaction);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_the_function_is_read_whatever_the_schema_is_called() {
        let namespace = uuid::Uuid::from_u128(7);
        let source = format!("SELECT '12 {namespace} o''clock \"x\"'");
        let expected = (12, namespace, "o'clock \"x\"".to_owned());
        assert_eq!(parse(&source), Some(expected));
        for other in ["", "SELECT 1", "SELECT ''", "SELECT '1 x y'", "'"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
