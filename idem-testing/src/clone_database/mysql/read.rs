//! All tables, and what is still going on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use idem_runtime::__testing::mysql::{number, text};
use sqlx::mysql::MySqlRow;
use sqlx::{MySqlPool, Row as _};

use super::sql::{batch, execute, quoted, required, rows, string};
use crate::clone_database::catalog::{Catalog, Described, ValueKind};
use crate::comparison::snapshot::{SCHEMA_OBJECTS, Table, Value, Volatility};
use crate::setup_error::SetupError;

pub(super) async fn tables(
    admin: &MySqlPool,
    name: &str,
) -> Result<BTreeMap<String, Table>, sqlx::Error> {
    let catalog = catalog(admin, name).await?;
    let results = batch(admin, selects(&catalog)).await?;
    let mut tables = filled(catalog, results)?;
    tables.insert(SCHEMA_OBJECTS.into(), views(admin, name).await?);
    Ok(tables)
}

/// The views of a database.
pub(super) async fn views(admin: &MySqlPool, name: &str) -> Result<Table, sqlx::Error> {
    let sql = format!(
        "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = {}",
        text(name)
    );
    let prefix = format!("{}.", quoted(name));
    let views = rows(admin, sql).await?;
    let views = views.iter().map(|row| {
        let definition = required(row, 1)?.replace(&prefix, "");
        let view = Value::Text(required(row, 0)?);
        Ok([Value::Text("view".into()), view, Value::Text(definition)])
    });
    let views: Vec<_> = views.collect::<Result<_, sqlx::Error>>()?;
    Ok(Table::of_schema_objects(views))
}

/// All tables as they are at one moment.
pub(super) fn selects(catalog: &Catalog) -> String {
    format!(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; {}COMMIT",
        catalog.selects()
    )
}

/// With the results of [`selects`].
pub(super) fn filled(
    catalog: Catalog,
    mut results: Vec<Vec<MySqlRow>>,
) -> Result<BTreeMap<String, Table>, sqlx::Error> {
    results.drain(..2);
    catalog.filled(results, value)
}

pub(super) async fn catalog(admin: &MySqlPool, name: &str) -> Result<Catalog, sqlx::Error> {
    let catalog_sql = format!(
        "SELECT c.table_name, c.column_name, c.column_type, c.data_type, c.extra, c.column_default
         FROM information_schema.columns AS c
         JOIN information_schema.tables AS t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
         WHERE c.table_schema = {name} AND t.table_schema = {name} AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')
         ORDER BY c.table_name, c.ordinal_position;
         SELECT table_name, constraint_name, column_name, ordinal_position, referenced_table_name, referenced_column_name
         FROM information_schema.key_column_usage
         WHERE table_schema = {name} AND (constraint_name = 'PRIMARY' OR referenced_table_schema = {name})
         ORDER BY table_name, constraint_name, ordinal_position",
        name = text(name),
    );
    let results = batch(admin, catalog_sql).await?;
    let [columns, keys] = &results[..] else {
        return Err(sqlx::Error::Protocol("a result is missing".into()));
    };
    let mut primary = BTreeMap::new();
    let mut foreign = Vec::new();
    for row in keys {
        let (table, column) = (required(row, 0)?, required(row, 2)?);
        match string(row, 4)? {
            None => {
                primary.insert((table, column), required(row, 3)?.parse().unwrap_or(0));
            }
            Some(referenced) => {
                foreign.push((
                    table,
                    referenced,
                    required(row, 1)?,
                    column,
                    required(row, 5)?,
                ));
            }
        }
    }
    let mut catalog = Catalog::default();
    for row in columns {
        let mut described = described(row, name)?;
        let column = described.name.clone().unwrap_or_default();
        described.primary_key = primary.get(&(described.table.clone(), column)).copied();
        catalog.column(described);
    }
    for (table, referenced, constraint, column, referenced_column) in foreign {
        catalog.foreign_key(&table, &referenced, &constraint, &column, referenced_column);
    }
    Ok(catalog)
}

fn described(row: &MySqlRow, database: &str) -> Result<Described, sqlx::Error> {
    let (table, name, data_type) = (required(row, 0)?, required(row, 1)?, required(row, 3)?);
    let extra = required(row, 4)?.to_lowercase();
    let default = required(row, 5)?.to_lowercase();
    let column = quoted(&name);
    let clocks = [
        "current_timestamp",
        "timestamp(",
        "now(",
        "sysdate",
        "curdate",
        "curtime",
    ];
    Ok(Described {
        source: format!("{}.{}", quoted(database), quoted(&table)),
        // A FLOAT is written with six digits; as a DOUBLE it is exact.
        selected: match &*data_type {
            "float" => format!("{column} + 0e0"),
            _ => column,
        },
        volatility: match &*data_type {
            _ if extra.contains("auto_increment") => Volatility::Generated,
            "date" | "datetime" | "timestamp" | "time" => Volatility::Time,
            _ if clocks.iter().any(|clock| default.contains(clock)) => Volatility::Time,
            _ => Volatility::Plain,
        },
        kind: match &*data_type {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "float"
            | "double" => ValueKind::Number,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "bit" => {
                ValueKind::Bytes
            }
            _ => ValueKind::Text,
        },
        table,
        name: Some(name),
        type_name: required(row, 2)?,
        primary_key: None,
    })
}

fn value(row: &MySqlRow, place: usize, kind: ValueKind) -> Result<Value, sqlx::Error> {
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(place)?;
    Ok(bytes.map_or(Value::Null, |bytes| match kind {
        ValueKind::Text => Value::text(&bytes),
        ValueKind::Number => Value::number(&bytes),
        ValueKind::Bytes => Value::Bytes(bytes),
    }))
}

pub(super) fn unreadable(error: sqlx::Error) -> SetupError {
    SetupError::sql(match number(&error) {
        Some(1205) => {
            "a table can't be read, as a transaction that the run left open has locked it"
        }
        Some(1142 | 1143) => "a table can't be read by the role of the URL: grant it SELECT",
        _ => "the tables can't be read",
    })(error)
}

/// Moves each source of numbers on by a different amount.
pub(super) async fn advance_sequences(admin: &MySqlPool, name: &str) -> Result<(), sqlx::Error> {
    let sql = format!(
        "SELECT table_name, table_type, COALESCE(auto_increment, 0) FROM information_schema.tables \
         WHERE table_schema = {} AND (auto_increment IS NOT NULL OR table_type = 'SEQUENCE') ORDER BY table_name",
        text(name)
    );
    let mut advances = String::new();
    for (place, row) in rows(admin, sql).await?.iter().enumerate() {
        let amount = 1000 * (place as u64 + 1) + rand::random_range(0..500);
        let table = format!("{}.{}", quoted(name), quoted(&required(row, 0)?));
        if required(row, 1)? == "SEQUENCE" {
            let state = rows(admin, format!("SELECT next_not_cached_value FROM {table}")).await?;
            let next = state
                .first()
                .map_or(Ok(String::new()), |row| required(row, 0))?;
            let next: u64 = next.parse().unwrap_or(1);
            let _ = write!(advances, "DO SETVAL({table}, {}, 0);", next + amount);
        } else {
            let next: u64 = required(row, 2)?.parse().unwrap_or(1);
            let _ = write!(
                advances,
                "ALTER TABLE {table} AUTO_INCREMENT = {};",
                next + amount
            );
        }
    }
    if advances.is_empty() {
        return Ok(());
    }
    execute(admin, advances).await
}

/// Transactions of sessions whose default database this is.
///
/// A transaction holds each table that it used until its end, so an attempt to lock them all finds
/// it. The server's list of transactions is not current: it is refreshed at most every tenth of a
/// second.
pub(super) async fn open_transactions(
    admin: &MySqlPool,
    name: &str,
    tables: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    let locks = tables.iter();
    let locks = locks.map(|table| format!("{}.{} WRITE", quoted(name), quoted(table)));
    let sql = format!(
        "LOCK TABLES {}; UNLOCK TABLES",
        locks.collect::<Vec<_>>().join(", ")
    );
    match execute(admin, sql).await {
        Err(error) if number(&error) == Some(1205) => {}
        // A table that is gone shows elsewhere.
        Err(error) if number(&error) == Some(1146) => return Ok(Vec::new()),
        other => return other.map(|()| Vec::new()),
    }
    let sessions = format!(
        "SELECT id, CONCAT('connection ', id, ' is ', LOWER(command), ' since ', time, ' s') \
         FROM information_schema.processlist WHERE db = {} AND id <> CONNECTION_ID()",
        text(name)
    );
    let transactions = "SELECT trx_mysql_thread_id, CONCAT(' in a transaction since ', trx_started, \
         ', its statement: ', LEFT(COALESCE(trx_query, 'none'), 200)) FROM information_schema.innodb_trx";
    // Not everybody may see it.
    let known = rows(admin, transactions.into()).await.unwrap_or_default();
    let mut open = Vec::new();
    let mut others = Vec::new();
    for row in rows(admin, sessions).await? {
        let (id, session) = (required(&row, 0)?, required(&row, 1)?);
        match known
            .iter()
            .find(|row| required(row, 0).is_ok_and(|thread| thread == id))
        {
            Some(transaction) => open.push(format!("{session}{}", required(transaction, 1)?)),
            None => others.push(format!("{session}, perhaps in a transaction")),
        }
    }
    Ok(if open.is_empty() { others } else { open })
}
