//! What a fresh copy is like. With it a used copy can be read and refilled, as long as its tables
//! are still the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use idem_runtime::__testing::mysql::text;
use sqlx::MySqlPool;
use sqlx::mysql::MySqlRow;

use super::read;
use super::script::Script;
use super::sql::{batch, execute, quoted, required, rows};
use crate::clone_database::catalog::Catalog;
use crate::comparison::snapshot::{SCHEMA_OBJECTS, Table};

#[derive(Debug)]
pub(super) struct Reference {
    base: String,
    pub(super) tables: Vec<String>,
    shape: Vec<String>,
    checksums: BTreeMap<String, String>,
    /// To describe the tables takes the server longer than to read them.
    catalog: Catalog,
    /// The same in each copy of the same shape.
    views: Table,
}

impl Reference {
    pub(super) async fn read(
        admin: &MySqlPool,
        base: &str,
        script: &Script,
    ) -> Result<Self, sqlx::Error> {
        let tables = script.tables.iter().map(|made| made.name.clone());
        let mut reference = Self {
            base: base.to_owned(),
            tables: tables.collect(),
            shape: Vec::new(),
            checksums: BTreeMap::new(),
            catalog: read::catalog(admin, base).await?,
            views: read::views(admin, base).await?,
        };
        let sql = format!(
            "{}{}",
            reference.shape_sql(base),
            reference.checksum_sql(base)
        );
        let mut results = batch(admin, sql).await?;
        reference.checksums = checksums(&results.pop().unwrap_or_default())?;
        reference.shape = shape(&results)?;
        Ok(reference)
    }

    /// All rows in one round trip; `None` if the copy has other tables now.
    pub(super) async fn tables(
        &self,
        admin: &MySqlPool,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Table>>, sqlx::Error> {
        let selects = read::selects(&self.catalog).replace(
            &format!("{}.", quoted(&self.base)),
            &format!("{}.", quoted(name)),
        );
        let mut results = batch(admin, format!("{}{selects}", self.shape_sql(name))).await?;
        let rows = results.split_off(self.tables.len() + 1);
        if shape(&results)? != self.shape {
            return Ok(None);
        }
        let mut tables = read::filled(self.catalog.clone(), rows)?;
        tables.insert(SCHEMA_OBJECTS.into(), self.views.clone());
        Ok(Some(tables))
    }

    /// `false` if the copy has other tables now, or triggers, which would fire.
    pub(super) async fn refill(
        &self,
        admin: &MySqlPool,
        script: &Script,
        name: &str,
    ) -> Result<bool, sqlx::Error> {
        if script.has_triggers || self.tables.is_empty() {
            return Ok(false);
        }
        let sql = format!("{}{}", self.shape_sql(name), self.checksum_sql(name));
        let mut results = batch(admin, sql).await?;
        let checksums = checksums(&results.pop().unwrap_or_default())?;
        if shape(&results)? != self.shape {
            return Ok(false);
        }
        let mut sql = String::from("START TRANSACTION;");
        for made in &script.tables {
            if checksums.get(&made.name) != self.checksums.get(&made.name) {
                let _ = write!(sql, "DELETE FROM {}.{};", quoted(name), quoted(&made.name));
                made.fill(&mut sql, name, &self.base);
            }
        }
        sql.push_str("COMMIT");
        execute(admin, sql).await?;
        Ok(true)
    }

    fn shape_sql(&self, name: &str) -> String {
        let mut sql = format!(
            "SELECT COUNT(*), COUNT(*) FROM information_schema.tables WHERE table_schema = {};",
            text(name)
        );
        for table in &self.tables {
            let _ = write!(sql, "SHOW CREATE TABLE {}.{};", quoted(name), quoted(table));
        }
        sql
    }

    fn checksum_sql(&self, name: &str) -> String {
        let tables = self.tables.iter();
        let tables: Vec<_> = tables
            .map(|table| format!("{}.{}", quoted(name), quoted(table)))
            .collect();
        format!("CHECKSUM TABLE {}", tables.join(", "))
    }
}

/// Of the results of `shape_sql`: how many tables there are, and how each is made.
fn shape(results: &[Vec<MySqlRow>]) -> Result<Vec<String>, sqlx::Error> {
    let rows = results.iter().flatten();
    rows.map(|row| required(row, 1).map(|create| without_counter(&create)))
        .collect()
}

fn checksums(rows: &[MySqlRow]) -> Result<BTreeMap<String, String>, sqlx::Error> {
    rows.iter()
        .map(|row| {
            let table = required(row, 0)?;
            let table = table.split_once('.').map_or("", |(_, table)| table);
            Ok((table.to_owned(), required(row, 1)?))
        })
        .collect()
}

/// The counter moves with each row.
fn without_counter(create: &str) -> String {
    let Some((before, after)) = create.split_once(" AUTO_INCREMENT=") else {
        return create.to_owned();
    };
    let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
    format!("{before}{after}")
}

/// Ends the sessions on a copy, and with them their transactions.
pub(super) async fn end_sessions(admin: &MySqlPool, name: &str) -> Result<(), sqlx::Error> {
    let sessions = format!(
        "SELECT id FROM information_schema.processlist WHERE db = {} AND id <> CONNECTION_ID()",
        text(name)
    );
    for row in rows(admin, sessions).await? {
        // It may be gone by now.
        let _ = execute(admin, format!("KILL {}", required(&row, 0)?)).await;
    }
    Ok(())
}
