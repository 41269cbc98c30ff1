//! All tables in one transaction.

use std::collections::BTreeMap;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, TypeInfo as _, ValueRef as _, raw_sql};

use crate::clone_database::catalog::{Catalog, Described, ValueKind};
use crate::clone_database::results;
use crate::comparison::snapshot::{SCHEMA_OBJECTS, Table, Value, Volatility};

/// Neither virtual tables nor what they keep their data in.
const CATALOG: &str = "
BEGIN;
SELECT t.name, '\"' || replace(t.name, '\"', '\"\"') || '\"', c.name, '\"' || replace(c.name, '\"', '\"\"') || '\"', c.type,
    CASE WHEN upper(c.type) = 'INTEGER' AND c.pk = 1 AND NOT t.wr
              AND (SELECT max(pk) FROM pragma_table_xinfo(t.name)) = 1 THEN 'generated'
         WHEN upper(c.type) LIKE '%DATE%' OR upper(c.type) LIKE '%TIME%' THEN 'time'
         WHEN upper(c.dflt_value) LIKE '%CURRENT_%' OR upper(c.dflt_value) LIKE '%STRFTIME%' OR upper(c.dflt_value) LIKE '%DATE%(%'
              OR upper(c.dflt_value) LIKE '%TIME%(%' OR upper(c.dflt_value) LIKE '%EPOCH%' OR upper(c.dflt_value) LIKE '%JULIANDAY%'
         THEN 'time' END,
    nullif(c.pk, 0)
FROM pragma_table_list AS t JOIN pragma_table_xinfo(t.name) AS c
WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite@_%' ESCAPE '@' AND c.hidden <> 1
ORDER BY t.name, c.cid;
SELECT t.name, coalesce((SELECT name FROM sqlite_schema WHERE type = 'table' AND name = k.\"table\" COLLATE NOCASE), k.\"table\"),
    CAST(k.id AS TEXT), (SELECT name FROM pragma_table_xinfo(t.name) WHERE name = k.\"from\" COLLATE NOCASE),
    (SELECT name FROM pragma_table_xinfo(k.\"table\")
     WHERE CASE WHEN k.\"to\" IS NULL THEN pk = k.seq + 1 ELSE name = k.\"to\" COLLATE NOCASE END)
FROM pragma_table_list AS t JOIN pragma_foreign_key_list(t.name) AS k
WHERE t.schema = 'main' AND t.type = 'table'
ORDER BY t.name, k.id, k.seq";

/// Also the numbers in the file's header that are an application's own.
const OBJECTS: &str = "
SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite@_%' ESCAPE '@'
UNION ALL SELECT 'pragma', 'user_version', user_version FROM pragma_user_version
UNION ALL SELECT 'pragma', 'application_id', application_id FROM pragma_application_id";

pub(super) async fn tables(
    conn: &mut SqliteConnection,
) -> Result<BTreeMap<String, Table>, sqlx::Error> {
    let mut catalog = Catalog::default();
    let [_, columns, keys] = &batch(conn, CATALOG.into()).await?[..] else {
        return Err(sqlx::Error::Protocol("a result is missing".into()));
    };
    for row in columns {
        let volatility: Option<String> = row.try_get(5)?;
        catalog.column(Described {
            table: row.try_get(0)?,
            source: row.try_get(1)?,
            name: row.try_get(2)?,
            selected: row.try_get(3)?,
            type_name: row.try_get(4)?,
            volatility: match volatility.as_deref() {
                Some("generated") => Volatility::Generated,
                Some("time") => Volatility::Time,
                _ => Volatility::Plain,
            },
            // Here the values have types, whatever their column says.
            kind: ValueKind::Text,
            primary_key: row.try_get(6)?,
        });
    }
    for row in keys {
        let text = |place| {
            row.try_get::<Option<String>, _>(place)
                .map(Option::unwrap_or_default)
        };
        catalog.foreign_key(&text(0)?, &text(1)?, &text(2)?, &text(3)?, text(4)?);
    }
    let selects = format!("{}{OBJECTS}; COMMIT", catalog.selects());
    let mut results = batch(conn, selects).await?;
    results.pop();
    let objects = results.pop().unwrap_or_default();
    let objects = objects.iter().map(|row| {
        let value = |place| value(row, place, ValueKind::Text);
        Ok([value(0)?, value(1)?, value(2)?])
    });
    let objects: Vec<_> = objects.collect::<Result<_, sqlx::Error>>()?;
    let mut tables = catalog.filled(results, value)?;
    tables.insert(SCHEMA_OBJECTS.into(), Table::of_schema_objects(objects));
    Ok(tables)
}

/// Only tables with AUTOINCREMENT number rows by more than what is in them.
pub(super) async fn advance_sequences(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let there = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'";
    if raw_sql(there).fetch_all(&mut *conn).await?.is_empty() {
        return Ok(());
    }
    let sql = "
        INSERT INTO sqlite_sequence (name, seq)
        SELECT name, 0 FROM sqlite_schema
        WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%' AND name NOT IN (SELECT name FROM sqlite_sequence);
        UPDATE sqlite_sequence SET seq = seq + 1000 * rowid + abs(random() % 500)";
    raw_sql(sql).execute(conn).await.map(drop)
}

fn value(row: &SqliteRow, place: usize, _form: ValueKind) -> Result<Value, sqlx::Error> {
    let value = row.try_get_raw(place)?;
    if value.is_null() {
        return Ok(Value::Null);
    }
    let kind = value.type_info().name().to_owned();
    Ok(match &*kind {
        "INTEGER" => Value::Number(row.try_get_unchecked::<i64, _>(place)?.to_string()),
        // The shortest text that reads back as the same number.
        "REAL" => Value::Number(format!("{:?}", row.try_get_unchecked::<f64, _>(place)?)),
        "TEXT" => Value::text(row.try_get_unchecked::<&[u8], _>(place)?),
        _ => Value::Bytes(row.try_get_unchecked(place)?),
    })
}

/// The rows of each statement of a batch.
async fn batch(
    conn: &mut SqliteConnection,
    sql: String,
) -> Result<Vec<Vec<SqliteRow>>, sqlx::Error> {
    results(raw_sql(AssertSqlSafe(sql)).fetch_many(conn)).await
}
