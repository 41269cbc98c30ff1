//! The tables: their version, how they come to be, and what keeps handlers from them.

use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, PgPool, Postgres, Row as _, raw_sql};

use super::round_trip::fetch_last;
use crate::store::Store as _;

/// What a handler's role can't find or may not do, in sentences.
const MISSING_REQUIREMENTS: &str = "
SELECT format('`%s` is not granted: GRANT %s ON %s TO %I', privilege, privilege, to_regclass(name), current_user)
FROM (VALUES ('idem_keys', 'SELECT'), ('idem_keys', 'INSERT'), ('idem_keys', 'UPDATE'), ('idem_outbox', 'SELECT'),
             ('idem_outbox', 'INSERT'), ('idem_schema', 'SELECT')) AS needed (name, privilege)
WHERE NOT has_table_privilege(to_regclass(name), privilege)
UNION ALL
SELECT CASE
    WHEN function IS NULL THEN format('the procedure `%s` is not on the search path: apply the migrations again, or set search_path to \
        the schema of `idem_keys`', name)
    WHEN pronamespace <> relnamespace THEN format('the procedure `%s` is found in the schema %s and `idem_keys` in %s: set search_path \
        so that both are of one', name, pronamespace::regnamespace, relnamespace::regnamespace)
    ELSE format('`EXECUTE` is not granted: GRANT EXECUTE ON PROCEDURE %s TO %I', function, current_user)
END
FROM (VALUES ('idem_claim(text,bytea,bytea,integer)'), ('idem_try_claim(text,bytea,bytea,integer,boolean)'),
             ('idem_find(text,bytea,text)'), ('idem_emit(uuid,text,text,text,bytea,text,text)'),
             ('idem_finish(text,bytea,integer,bytea,integer,bigint)'),
             ('idem_emit_and_finish(uuid,text,text,text,bytea,text,text,text,bytea,integer,bytea,integer,bigint)')) AS needed (name)
CROSS JOIN to_regprocedure(name) AS function
LEFT JOIN pg_proc ON pg_proc.oid = function
JOIN pg_class ON pg_class.oid = to_regclass('idem_keys')
WHERE function IS NULL OR pronamespace <> relnamespace OR NOT has_function_privilege(function, 'EXECUTE')
UNION ALL
SELECT 'the server or the role is read-only (transaction_read_only is on): connect to the primary'
WHERE current_setting('transaction_read_only')::boolean";

pub(super) async fn missing_requirements(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let rows = raw_sql(MISSING_REQUIREMENTS).fetch_all(&mut *conn).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// In the schema that handlers write to by default.
const WARNINGS: &str = "
SELECT format('the table %1$I is unlogged: a crash of the server empties it, and the keys of what was handled stay. If a handler writes to \
    it: ALTER TABLE %1$I SET LOGGED', relname)
FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relpersistence = 'u'
ORDER BY relname";

pub(super) async fn warnings(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let rows = raw_sql(WARNINGS).fetch_all(&mut *conn).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

pub(super) async fn migrate(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    // "idem", so that services which start together migrate one after the other.
    tx.execute("SELECT pg_advisory_xact_lock(1768187245)")
        .await?;
    let version = schema_version(&mut tx).await?.unwrap_or(0);
    for script in Postgres::MIGRATIONS.iter().skip(version as usize) {
        raw_sql(*script).execute(&mut *tx).await?;
    }
    tx.commit().await
}

pub(super) async fn schema_version(conn: &mut PgConnection) -> Result<Option<u32>, sqlx::Error> {
    let there = fetch_last(conn, "SELECT to_regclass('idem_schema') IS NOT NULL".into()).await?;
    if !there.map_or(Ok(false), |row| row.try_get(0))? {
        return Ok(None);
    }
    let row = fetch_last(conn, "SELECT version FROM idem_schema".into()).await?;
    row.map(|row| row.try_get::<i32, _>(0).map(i32::unsigned_abs))
        .transpose()
}
