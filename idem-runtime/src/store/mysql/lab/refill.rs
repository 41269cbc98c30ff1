//! A used copy becomes a fresh one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sqlx::MySqlPool;

use super::script::Script;
use super::{batch, execute, quoted, required, rows, text};

/// What a fresh copy looks like.
#[derive(Debug)]
pub(super) struct Reference {
    shapes: BTreeMap<String, String>,
    checksums: BTreeMap<String, String>,
}

impl Reference {
    pub(super) async fn read(
        admin: &MySqlPool,
        name: &str,
        script: &Script,
    ) -> Result<Self, sqlx::Error> {
        let tables = script.tables.iter().map(|made| &made.name);
        let tables: Vec<_> = tables
            .map(|table| format!("{}.{}", quoted(name), quoted(table)))
            .collect();
        let mut sql = format!(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = {}; CHECKSUM TABLE {};",
            text(name),
            tables.join(", ")
        );
        for table in tables {
            let _ = write!(sql, "SHOW CREATE TABLE {table};");
        }
        let mut reference = Self {
            shapes: BTreeMap::new(),
            checksums: BTreeMap::new(),
        };
        for (number, result) in batch(admin, sql).await?.iter().enumerate() {
            for row in result {
                match number {
                    0 => {
                        reference.shapes.insert(String::new(), required(row, 0)?);
                    }
                    1 => {
                        let table = required(row, 0)?;
                        let table = table.split_once('.').map_or("", |(_, table)| table);
                        reference.checksums.insert(table.into(), required(row, 1)?);
                    }
                    _ => {
                        let create = without_counter(&required(row, 1)?);
                        reference.shapes.insert(required(row, 0)?, create);
                    }
                }
            }
        }
        Ok(reference)
    }

    /// False if the copy has other tables by now, or triggers, which would fire.
    pub(super) async fn refill(
        &self,
        admin: &MySqlPool,
        script: &Script,
        name: &str,
        base: &str,
    ) -> Result<bool, sqlx::Error> {
        if script.has_triggers {
            return Ok(false);
        }
        let now = Self::read(admin, name, script).await?;
        if now.shapes != self.shapes {
            return Ok(false);
        }
        let mut sql = String::from("START TRANSACTION;");
        for made in &script.tables {
            if now.checksums.get(&made.name) != self.checksums.get(&made.name) {
                let _ = write!(sql, "DELETE FROM {}.{};", quoted(name), quoted(&made.name));
                made.fill(&mut sql, name, base);
            }
        }
        sql.push_str("COMMIT");
        execute(admin, sql).await?;
        Ok(true)
    }
}

/// The counter moves with each row.
fn without_counter(create: &str) -> String {
    let Some((before, after)) = create.split_once(" AUTO_INCREMENT=") else {
        return create.to_owned();
    };
    let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
    format!("{before}{after}")
}

/// Ends whoever is still connected, and with them their transactions.
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
