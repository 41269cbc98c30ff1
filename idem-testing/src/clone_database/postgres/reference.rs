//! What a fresh copy holds. With it a used copy can be read, and refilled, in a fraction of the
//! time that it takes to create and drop a database.
//!
//! Only tables that changed are written again, in their old order: a statement without ORDER BY
//! finds rows as it would in a fresh copy. Triggers and foreign keys must be off for that, which
//! takes a superuser or a grant of `SET ON PARAMETER session_replication_role`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use idem_runtime::__testing::postgres::{bytes, text};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, raw_sql};

use super::objects::schema_objects;
use super::read;
use super::sql::{batch, quoted, string, strings};
use crate::clone_database::catalog::Catalog;
use crate::comparison::snapshot::{LARGE_OBJECTS, SCHEMA_OBJECTS, Table, Value, Volatility};

/// A changed table of more rows is not refilled: a new copy is cheaper.
const ROWS: usize = 1000;

/// Any DDL leaves rows with another transaction in the catalog. Sessions leave schemas for
/// temporary tables behind.
const PREPARE: &str = "
PREPARE idem_signature AS SELECT md5(string_agg(one, ',' ORDER BY one)) FROM (
    SELECT concat_ws(' ', 'class', oid, xmin) FROM pg_class WHERE oid >= 16384
    UNION ALL SELECT concat_ws(' ', 'attribute', attrelid, attnum, xmin) FROM pg_attribute WHERE attrelid >= 16384
    UNION ALL SELECT concat_ws(' ', 'default', oid, xmin) FROM pg_attrdef
    UNION ALL SELECT concat_ws(' ', 'index', indexrelid, xmin) FROM pg_index WHERE indexrelid >= 16384
    UNION ALL SELECT concat_ws(' ', 'constraint', oid, xmin) FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT concat_ws(' ', 'trigger', oid, xmin) FROM pg_trigger
    UNION ALL SELECT concat_ws(' ', 'sequence', seqrelid, xmin) FROM pg_sequence
    UNION ALL SELECT concat_ws(' ', 'function', oid, xmin) FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT concat_ws(' ', 'type', oid, xmin) FROM pg_type WHERE oid >= 16384
    UNION ALL SELECT concat_ws(' ', 'enum', oid, xmin) FROM pg_enum
    UNION ALL SELECT concat_ws(' ', 'rule', oid, xmin) FROM pg_rewrite WHERE oid >= 16384
    UNION ALL SELECT concat_ws(' ', 'policy', oid, xmin) FROM pg_policy
    UNION ALL SELECT concat_ws(' ', 'schema', oid, xmin) FROM pg_namespace WHERE nspname !~ '^pg_'
    UNION ALL SELECT concat_ws(' ', 'extension', oid, xmin) FROM pg_extension
    UNION ALL SELECT concat_ws(' ', 'large object', oid, xmin) FROM pg_largeobject_metadata
) AS all_of_them (one)";

/// What sequences are set to, as expressions.
const SEQUENCES: &str = "
SELECT format('setval(%L, %s, %s)', format('%I.%I', schemaname, sequencename), coalesce(last_value, start_value),
    (last_value IS NOT NULL)::text)
FROM pg_sequences";

#[derive(Debug)]
pub(super) struct Reference {
    signature: String,
    /// To describe the tables takes the server longer than to read them.
    catalog: Catalog,
    tables: BTreeMap<String, Table>,
    /// Without DDL they are the same in each copy.
    schema_objects: Table,
    /// For each table, the statements that fill it; None if it can't be refilled.
    fill: BTreeMap<String, Option<String>>,
    sequences: Vec<String>,
    may_refill: bool,
}

/// What the sessions of which copies are read need.
pub(super) async fn prepare(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    raw_sql(PREPARE).execute(conn).await.map(drop)
}

impl Reference {
    /// From a copy that was not used yet.
    pub(super) async fn read(conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let allowed = "BEGIN; SET LOCAL session_replication_role = replica";
        let may_refill = raw_sql(allowed).execute(&mut *conn).await.is_ok();
        raw_sql("ROLLBACK").execute(&mut *conn).await?;
        let signature = strings(conn, "EXECUTE idem_signature".into()).await?;
        let sequences = strings(conn, SEQUENCES.into()).await?;
        let (catalog, rows) = read::rows(conn).await?;
        let sources = catalog.sources();
        let mut tables = catalog.clone().unsorted(rows, read::value)?;
        let fill = tables.iter().map(|(name, table)| {
            let source = sources[name].trim_start_matches("ONLY ");
            let is_table = name != LARGE_OBJECTS;
            let fill = is_table.then(|| fill_sql(source, table));
            (name.clone(), fill.flatten())
        });
        let fill = fill.collect();
        for table in tables.values_mut() {
            table.rows.sort_unstable();
        }
        Ok(Self {
            signature: signature.into_iter().next().unwrap_or_default(),
            catalog,
            tables,
            schema_objects: schema_objects(conn).await?,
            fill,
            sequences,
            may_refill,
        })
    }

    /// All rows in one round trip; `None` if there was DDL.
    pub(super) async fn tables(
        &self,
        conn: &mut PgConnection,
    ) -> Result<Option<BTreeMap<String, Table>>, sqlx::Error> {
        let tables = self.rows(conn).await?;
        Ok(tables.map(|mut tables| {
            tables.insert(SCHEMA_OBJECTS.into(), self.schema_objects.clone());
            tables
        }))
    }

    async fn rows(
        &self,
        conn: &mut PgConnection,
    ) -> Result<Option<BTreeMap<String, Table>>, sqlx::Error> {
        let sql = format!(
            "{}EXECUTE idem_signature; {}COMMIT",
            read::BEGIN,
            self.catalog.selects()
        );
        let mut results = match batch(conn, sql).await {
            Ok(results) => results,
            // A table may be gone.
            Err(sqlx::Error::Database(_)) => {
                raw_sql("ROLLBACK").execute(conn).await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        results.pop();
        let rows = results.split_off(2);
        let signature = results.pop().unwrap_or_default();
        let signature = signature.first().map_or(Ok(None), |row| string(row, 0))?;
        if signature.as_ref() != Some(&self.signature) {
            return Ok(None);
        }
        self.catalog.clone().filled(rows, read::value).map(Some)
    }

    /// `false` if there was DDL, or too much has changed.
    pub(super) async fn refill(&self, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
        if !self.may_refill {
            return Ok(false);
        }
        let Some(tables) = self.rows(conn).await? else {
            return Ok(false);
        };
        let mut sql = String::from("BEGIN; SET LOCAL session_replication_role = replica;");
        for (name, table) in tables {
            if self.tables[&name].rows == table.rows {
                continue;
            }
            let Some(fill) = &self.fill[&name] else {
                return Ok(false);
            };
            sql.push_str(fill);
        }
        if !self.sequences.is_empty() {
            let _ = write!(sql, "SELECT {};", self.sequences.join(", "));
        }
        sql.push_str("COMMIT");
        raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
        Ok(true)
    }
}

fn fill_sql(source: &str, table: &Table) -> Option<String> {
    if table.rows.len() > ROWS {
        return None;
    }
    let mut sql = format!("DELETE FROM {source};");
    let columns = table.columns.iter().enumerate();
    let written = columns.filter(|(_, column)| column.volatility != Volatility::Computed);
    let (places, names): (Vec<_>, Vec<_>) = written
        .map(|(place, column)| (place, quoted(&column.name)))
        .unzip();
    if table.rows.is_empty() {
        return Some(sql);
    }
    if places.is_empty() {
        return None;
    }
    let _ = write!(
        sql,
        "INSERT INTO {source} ({}) OVERRIDING SYSTEM VALUE VALUES ",
        names.join(", ")
    );
    for (number, row) in table.rows.iter().enumerate() {
        let literals = places
            .iter()
            .map(|place| literal(&row[*place], &table.columns[*place].type_name));
        let literals: Option<Vec<_>> = literals.collect();
        let comma = if number > 0 { ", " } else { "" };
        let _ = write!(sql, "{comma}({})", literals?.join(", "));
    }
    sql.push(';');
    Some(sql)
}

/// Its type follows from the column. Bytes of another type are text in an encoding that is none.
fn literal(value: &Value, type_name: &str) -> Option<String> {
    match value {
        Value::Null => Some("NULL".into()),
        Value::Number(value) | Value::Text(value) => Some(text(value)),
        Value::Bytes(value) => (type_name == "bytea").then(|| bytes(value)),
    }
}
