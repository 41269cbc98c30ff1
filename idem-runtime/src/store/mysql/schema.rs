//! The tables: their version, how they come to be, and what keeps handlers from them.

use std::time::Duration;

use sqlx::mysql::MySqlConnection;
use sqlx::{Connection as _, MySql, MySqlPool, Row as _, raw_sql};

use super::error_class::number;
use super::round_trip::{END_READ, execute, fetch_last};
use crate::store::{ErrorClass, Store as _};

/// How long a service waits for another one that migrates.
const MIGRATION_WAIT: Duration = Duration::from_mins(1);

/// As in the migration. Random also where the server has no `RANDOM_BYTES`, as MariaDB before
/// 10.10.
const NEW_NAMESPACE: &str =
    "LEFT(UNHEX(SHA2(CONCAT(UUID(), RAND(), RAND(), @@hostname), 256)), 16)";

/// What handlers do to the tables. EXPLAIN needs the privileges of the statement and runs nothing.
const NEEDED: [(&str, &str, &str); 7] = [
    ("SELECT", "idem_keys", "SELECT result FROM idem_keys"),
    (
        "INSERT",
        "idem_keys",
        "INSERT INTO idem_keys (scope, `key`) VALUES ('', '')",
    ),
    ("UPDATE", "idem_keys", "UPDATE idem_keys SET state = 0"),
    ("SELECT", "idem_outbox", "SELECT id FROM idem_outbox"),
    (
        "INSERT",
        "idem_outbox",
        "INSERT INTO idem_outbox (topic) VALUES ('')",
    ),
    // For the event that is there already.
    ("UPDATE", "idem_outbox", "UPDATE idem_outbox SET id = id"),
    ("SELECT", "idem_schema", "SELECT version FROM idem_schema"),
];

/// Tables without transactions, and a server that takes no writes, in sentences.
const UNFIT: &str = "
SELECT CONCAT('the table `', table_name, '` has the engine ', engine, ', which has no transactions: ALTER TABLE ', table_name,
    ' ENGINE = InnoDB')
FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name IN ('idem_keys', 'idem_outbox', 'idem_dead_letters', 'idem_inbox') AND engine <> 'InnoDB'
UNION ALL
SELECT 'the server is read-only (read_only is on): connect to the primary' FROM DUAL WHERE @@global.read_only";

pub(super) async fn missing_requirements(pool: &MySqlPool) -> Result<Vec<String>, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let mut missing = Vec::new();
    for (privilege, table, statement) in NEEDED {
        let probe = format!("EXPLAIN {statement}");
        match fetch_last(&mut conn, probe).await {
            // The command, or a column of it, is denied.
            Err(error) if matches!(number(&error), Some(1142 | 1143)) => missing.push(format!(
                "`{privilege}` is not granted: GRANT {privilege} ON {table} to the user of this connection"
            )),
            // A missing table has no engine below either.
            Err(error) if MySql::classify(&error) != ErrorClass::NotMigrated => return Err(error),
            _ => {}
        }
    }
    for row in raw_sql(UNFIT).fetch_all(&mut *conn).await? {
        missing.push(row.try_get(0)?);
    }
    Ok(missing)
}

/// Other tables than ours, whose engine decides nothing about this crate's own work.
const WARNINGS: &str = "
SELECT CONCAT('the table ', name, ' has the engine ', engine, ', which has no transactions: what a failed handler wrote to it stays, ',
    'and is written again by the next delivery. If a handler writes to it: ALTER TABLE ', name, ' ENGINE = InnoDB')
FROM (SELECT CONCAT('`', REPLACE(table_name, '`', '``'), '`') AS name, engine FROM information_schema.tables
      WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'
      AND table_name NOT IN ('idem_keys', 'idem_outbox', 'idem_dead_letters', 'idem_inbox')
      AND engine NOT IN (SELECT engine FROM information_schema.engines WHERE transactions = 'YES')) AS unsafe
ORDER BY name";

/// Where the server keeps the text of statements. What is on by default, such as MySQL's binary
/// log, is no warning.
const LOGS: &str = "
SELECT CONCAT('`', name, '` is on: ', place, ' keeps ', kept, ', and in them keys, results and events. Unless it is protected like ',
    'the tables, have an administrator turn it off: ', fix)
FROM (SELECT 'general_log' AS name, @@global.general_log AS is_on, 'the general log' AS place, 'all statements' AS kept,
             'SET GLOBAL general_log = OFF' AS fix
      UNION ALL
      SELECT 'slow_query_log', @@global.slow_query_log, 'the slow query log',
             CONCAT('the statements that take more than ', @@global.long_query_time, ' s'), 'SET GLOBAL slow_query_log = OFF') AS logs
WHERE is_on ORDER BY name";

/// The last statements of all sessions. Most roles may not ask.
const HISTORY: &str = "
SELECT CONCAT('`', name, '` is on: the table `performance_schema.', name, '` keeps the last statements of all sessions, and in them keys, ',
    'results and events. Unless it is protected like the tables, have an administrator turn it off: ',
    'UPDATE performance_schema.setup_consumers SET enabled = ', QUOTE('NO'), ' WHERE name = ', QUOTE(name))
FROM performance_schema.setup_consumers
WHERE name = 'events_statements_history_long' AND enabled = 'YES' AND @@performance_schema";

pub(super) async fn warnings(pool: &MySqlPool) -> Result<Vec<String>, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let mut rows = raw_sql(WARNINGS).fetch_all(&mut *conn).await?;
    rows.extend(raw_sql(LOGS).fetch_all(&mut *conn).await?);
    match raw_sql(HISTORY).fetch_all(&mut *conn).await {
        // The command, the database or the table is denied or not there.
        Err(error) if matches!(number(&error), Some(1044 | 1049 | 1142 | 1146)) => {}
        history => rows.extend(history?),
    }
    rows.iter().map(|row| row.try_get(0)).collect()
}

pub(super) async fn migrate(pool: &MySqlPool) -> Result<(), sqlx::Error> {
    // The lock is the session's, and a session ends with its connection, however this call does.
    let mut conn = pool.acquire().await?.detach();
    let lock = format!(
        "SELECT GET_LOCK('idem_migrate', {})",
        MIGRATION_WAIT.as_secs()
    );
    let locked = fetch_last(&mut conn, lock).await?;
    if locked.map_or(Ok(None), |row| row.try_get::<Option<i64>, _>(0))? != Some(1) {
        return Err(sqlx::Error::Configuration(
            "another session held the lock `idem_migrate` for a minute; find it with \
             SELECT IS_USED_LOCK('idem_migrate')"
                .into(),
        ));
    }
    let version = schema_version(&mut conn).await?.unwrap_or(0);
    for script in MySql::MIGRATIONS.iter().skip(version as usize) {
        raw_sql(*script).execute(&mut conn).await?;
    }
    // DDL commits by itself; the version does where autocommit is on.
    execute(&mut conn, "COMMIT".into()).await?;
    conn.close().await
}

pub(super) async fn renew_namespace(pool: &MySqlPool) -> Result<(), sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let sql = format!("UPDATE idem_schema SET namespace = {NEW_NAMESPACE}; COMMIT");
    execute(&mut conn, sql).await
}

pub(super) async fn schema_version(conn: &mut MySqlConnection) -> Result<Option<u32>, sqlx::Error> {
    match fetch_last(conn, format!("SELECT version FROM idem_schema{END_READ}")).await {
        Ok(row) => row
            .map(|row| row.try_get::<i32, _>(0).map(i32::unsigned_abs))
            .transpose(),
        Err(error) if MySql::classify(&error) == ErrorClass::NotMigrated => Ok(None),
        Err(error) => Err(error),
    }
}
