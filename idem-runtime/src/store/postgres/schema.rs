//! The tables: their version, how they come to be, and what keeps handlers from them.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, PgPool, Postgres, Row as _, raw_sql};

use super::home::{self, Found};
use super::literal::{name, text};
use crate::store::Store as _;

/// The advisory lock under which the tables are changed: "idem".
const LOCK: &str = "SELECT pg_advisory_xact_lock(1768187245)";

/// A waiter must see what the one before it did, whatever level is the default here.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// What a handler's role can't find or may not do, in sentences.
const MISSING_REQUIREMENTS: &str = "
SELECT CASE
    WHEN function IS NULL THEN format('the function `%s` is missing: call `idem_runtime::migrate` or apply the SQL in `migrations/`', name)
    ELSE format('`EXECUTE` is not granted: GRANT EXECUTE ON FUNCTION %s TO %I', function, current_user)
END
FROM (VALUES ('idem_claim(boolean,text,uuid,integer,bigint,text,bytea,bytea,bigint)'), ('idem_begin(boolean,text)'),
             ('idem_find(text,bytea)'), ('idem_emit(uuid[],smallint[],text[],text[],text[],bytea[],text[],text[])'),
             ('idem_finish(text,bytea,integer,bytea,integer)'),
             ('idem_emit_and_finish(uuid,smallint,text,text,text,bytea,text,text,text,bytea,integer,bytea,integer)')) AS needed (name)
CROSS JOIN to_regprocedure(quote_ident($schema) || '.' || name) AS function
WHERE function IS NULL OR NOT has_function_privilege(function, 'EXECUTE')
UNION ALL
SELECT 'the server or the role is read-only (transaction_read_only is on): connect to the primary'
WHERE current_setting('transaction_read_only')::boolean";

/// Why the tables are not found: without USAGE a schema is passed over.
const HIDDEN: &str = "
SELECT format('`USAGE` is not granted: GRANT USAGE ON SCHEMA %I TO %I', nspname, current_user)
FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE proname = 'idem_home' AND NOT has_schema_privilege(pronamespace, 'USAGE')";

pub(super) async fn missing_requirements(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let Some(found) = home::find_any(&mut conn).await? else {
        let rows = raw_sql(HIDDEN).fetch_all(&mut *conn).await?;
        return rows.iter().map(|row| row.try_get(0)).collect();
    };
    if !found.is_settled() {
        return Ok(vec![renamed(&found)]);
    }
    let sql = MISSING_REQUIREMENTS.replace("$schema", &text(&found.home.schema));
    let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *conn).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

fn renamed(found: &Found) -> String {
    format!(
        "the tables were made in the schema `{}` and are now in `{}`: call `idem_runtime::migrate`, or apply the SQL in \
         `migrations/` again with search_path set to `{}`",
        found.made_for, found.home.schema, found.home.schema
    )
}

/// Tables in the schema that handlers write to by default, and settings by which the log keeps what
/// calls send. By default it keeps a statement that fails, so that is no warning.
const WARNINGS: &str = "
(SELECT format('the table %1$I is unlogged: a crash of the server empties it, and the keys of what was handled stay. If a handler writes to \
    it: ALTER TABLE %1$I SET LOGGED', relname)
FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relpersistence = 'u'
ORDER BY relname)
UNION ALL
(SELECT format('`%1$s` is `%2$s`: the log of the server keeps %3$s, and in them keys, results and events. Unless the log is protected like \
    the tables, have a superuser turn it off for the role of this service: ALTER ROLE %4$I SET %1$s = %5$s', name, setting, kept, current_user, off)
FROM (VALUES
    ('log_statement', 'all statements', 'none'),
    ('log_min_duration_statement', 'the statements that take this many milliseconds or more', '-1'),
    ('log_min_duration_sample', 'some of the statements that take this many milliseconds or more', '-1'),
    ('log_transaction_sample_rate', 'the statements of this share of all transactions', '0'),
    ('auto_explain.log_min_duration', 'the statements that take this many milliseconds or more', '-1')
) AS looked_at (name, kept, off)
JOIN pg_settings USING (name)
WHERE CASE name WHEN 'log_statement' THEN setting = 'all'
    WHEN 'log_transaction_sample_rate' THEN setting::real > 0
    ELSE setting::integer >= 0 END
ORDER BY name)";

pub(super) async fn warnings(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let rows = raw_sql(WARNINGS).fetch_all(&mut *conn).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

pub(super) async fn migrate(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    // Services that start together migrate one after the other.
    tx.execute(LOCK).await?;
    match home::find_any(&mut tx).await? {
        None => run_scripts(&mut tx, 0).await?,
        // The scripts leave what is there, but for the functions.
        Some(found) if !found.is_settled() || is_renewed(&mut tx, &found).await? => {
            run_scripts_in(&mut tx, &found, 0).await?;
        }
        Some(found) => run_scripts_in(&mut tx, &found, found.version).await?,
    }
    tx.commit().await
}

pub(super) async fn renew_namespace(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin_with(BEGIN).await?;
    tx.execute(LOCK).await?;
    tx.execute("UPDATE idem_schema SET namespace = gen_random_uuid()")
        .await?;
    if let Some(found) = home::find_any(&mut tx).await? {
        run_scripts_in(&mut tx, &found, 0).await?;
    }
    tx.commit().await
}

/// Whether the rows of another database were copied into the table, and with them the namespace
/// that its events were derived from.
async fn is_renewed(conn: &mut PgConnection, found: &Found) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "SELECT namespace::text FROM {}.idem_schema",
        name(&found.home.schema)
    );
    let row = raw_sql(AssertSqlSafe(sql)).fetch_optional(conn).await?;
    let namespace: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(namespace.is_some_and(|namespace| namespace != found.home.namespace.to_string()))
}

async fn run_scripts(conn: &mut PgConnection, version: u32) -> Result<(), sqlx::Error> {
    for script in Postgres::MIGRATIONS.iter().skip(version as usize) {
        raw_sql(*script).execute(&mut *conn).await?;
    }
    Ok(())
}

/// The same in the schema where the tables are.
async fn run_scripts_in(
    conn: &mut PgConnection,
    found: &Found,
    version: u32,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "SELECT set_config('search_path', quote_ident({}), true)",
        text(&found.home.schema)
    );
    raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await?;
    run_scripts(conn, version).await
}

pub(super) async fn schema_version(conn: &mut PgConnection) -> Result<Option<u32>, sqlx::Error> {
    Ok(home::find_any(conn).await?.map(|found| found.version))
}
