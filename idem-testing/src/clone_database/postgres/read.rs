//! All tables in two round trips.

use std::collections::BTreeMap;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Row as _, ValueRef as _};

use super::objects::{describe_large_objects, schema_objects};
use super::sql::{batch, string};
use crate::clone_database::catalog::{Catalog, Described, ValueKind};
use crate::comparison::snapshot::{SCHEMA_OBJECTS, Table, Value, Volatility};
use crate::setup_error::SetupError;

/// How values are written, and that a lock is not waited for.
pub(super) const SETTINGS: [(&str, &str); 7] = [
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
    ("bytea_output", "hex"),
    ("lock_timeout", "2s"),
    // Rows that a policy hides are an error, not missing.
    ("row_security", "off"),
    ("statement_timeout", "0"),
];

/// All tables as they are at one moment.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;";

/// Extensions bring tables of their own; partitions are read through their parent.
const CATALOG: &str = "
WITH tables AS MATERIALIZED (
    SELECT c.oid, c.relkind, format(CASE relkind WHEN 'r' THEN 'ONLY %I.%I' ELSE '%I.%I' END, nspname, relname) AS source,
        CASE WHEN pg_table_is_visible(c.oid) THEN relname::text ELSE nspname || '.' || relname END AS name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'm') AND NOT relispartition AND relispopulated AND relpersistence <> 't'
      AND nspname <> 'information_schema' AND nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
)
SELECT name, source, attname, quote_ident(attname), format_type(atttypid, atttypmod),
    CASE WHEN attgenerated <> '' THEN 'computed'
         WHEN attidentity <> '' OR pg_get_expr(adbin, adrelid) LIKE 'nextval(%' THEN 'generated'
         WHEN b.typcategory = 'D' OR pg_get_expr(adbin, adrelid)
             ~* '(now|clock_timestamp|statement_timestamp|transaction_timestamp)\\(|current_(date|time)|localtime' THEN 'time'
         WHEN b.typname IN ('xid', 'xid8', 'pg_lsn', 'txid_snapshot', 'pg_snapshot') THEN 'transaction' END,
    CASE WHEN b.typname = 'bytea' THEN 'bytes' WHEN b.typcategory = 'N' THEN 'number' END,
    array_position(indkey::smallint[], attnum)
FROM tables
LEFT JOIN pg_attribute ON attrelid = tables.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_type AS t ON t.oid = atttypid
LEFT JOIN pg_type AS b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
LEFT JOIN pg_index ON indrelid = attrelid AND indisprimary
ORDER BY name, attnum;
SELECT own.name, theirs.name, k.oid, a.attname, b.attname
FROM pg_constraint AS k
JOIN (SELECT c.oid, CASE WHEN pg_table_is_visible(c.oid) THEN relname::text ELSE nspname || '.' || relname END AS name
      FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace) AS own ON own.oid = conrelid
JOIN (SELECT c.oid, CASE WHEN pg_table_is_visible(c.oid) THEN relname::text ELSE nspname || '.' || relname END AS name
      FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace) AS theirs ON theirs.oid = confrelid
CROSS JOIN unnest(conkey, confkey) WITH ORDINALITY AS pair (a, b, place)
JOIN pg_attribute AS a ON a.attrelid = conrelid AND a.attnum = pair.a
JOIN pg_attribute AS b ON b.attrelid = confrelid AND b.attnum = pair.b
WHERE contype = 'f' AND conparentid = 0
ORDER BY k.oid, place";

pub(super) async fn tables(
    conn: &mut PgConnection,
) -> Result<BTreeMap<String, Table>, sqlx::Error> {
    let (catalog, rows) = rows(conn).await?;
    let mut tables = catalog.filled(rows, value)?;
    tables.insert(SCHEMA_OBJECTS.into(), schema_objects(conn).await?);
    Ok(tables)
}

/// The tables, and the rows of each.
pub(super) async fn rows(
    conn: &mut PgConnection,
) -> Result<(Catalog, Vec<Vec<PgRow>>), sqlx::Error> {
    let mut catalog = Catalog::default();
    let results = batch(conn, format!("{BEGIN}{CATALOG}")).await?;
    let [_, columns, keys] = &results[..] else {
        return Err(sqlx::Error::Protocol("a result is missing".into()));
    };
    for row in columns {
        catalog.column(described(row)?);
    }
    for row in keys {
        let column = |place| string(row, place).map(Option::unwrap_or_default);
        catalog.foreign_key(
            &column(0)?,
            &column(1)?,
            &column(2)?,
            &column(3)?,
            column(4)?,
        );
    }
    describe_large_objects(&mut catalog);
    let mut results = batch(conn, format!("{}COMMIT", catalog.selects())).await?;
    results.pop();
    Ok((catalog, results))
}

fn described(row: &PgRow) -> Result<Described, sqlx::Error> {
    let column = |place| string(row, place);
    Ok(Described {
        table: column(0)?.unwrap_or_default(),
        source: column(1)?.unwrap_or_default(),
        name: column(2)?,
        selected: column(3)?.unwrap_or_default(),
        type_name: column(4)?.unwrap_or_default(),
        volatility: match column(5)?.as_deref() {
            Some("computed") => Volatility::Computed,
            Some("generated") => Volatility::Generated,
            Some("time") => Volatility::Time,
            Some("transaction") => Volatility::Transaction,
            _ => Volatility::Plain,
        },
        kind: match column(6)?.as_deref() {
            Some("bytes") => ValueKind::Bytes,
            Some("number") => ValueKind::Number,
            _ => ValueKind::Text,
        },
        primary_key: column(7)?.and_then(|place| place.parse().ok()),
    })
}

pub(super) fn value(row: &PgRow, place: usize, kind: ValueKind) -> Result<Value, sqlx::Error> {
    let value = row.try_get_raw(place)?;
    if value.is_null() {
        return Ok(Value::Null);
    }
    let bytes = value.as_bytes().map_err(sqlx::Error::Decode)?;
    Ok(match kind {
        ValueKind::Text => Value::text(bytes),
        ValueKind::Number => Value::number(bytes),
        ValueKind::Bytes => Value::Bytes(
            hex::decode(bytes.get(2..).unwrap_or_default())
                .map_err(|error| sqlx::Error::Decode(error.into()))?,
        ),
    })
}

pub(super) fn unreadable(error: sqlx::Error) -> SetupError {
    let code = error.as_database_error().and_then(DatabaseError::code);
    SetupError::sql(match code.as_deref() {
        Some("55P03") => {
            "a table can't be read, as a transaction that the run left open has locked it"
        }
        Some("42501") => {
            "a table can't be read by the role of the URL: grant it SELECT, and BYPASSRLS where policies hide rows"
        }
        _ => "the tables can't be read",
    })(error)
}
