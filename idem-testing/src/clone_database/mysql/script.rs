//! The statements that make a copy.

use std::fmt::Write as _;

use idem_runtime::__testing::mysql::text;
use sqlx::{MySqlPool, mysql::MySqlRow};

use super::sql::{batch, execute, quoted, required, rows, string};

/// What a database consists of, as statements.
#[derive(Debug, Default)]
pub(super) struct Script {
    options: String,
    pub(super) tables: Vec<TableScript>,
    sequences: Vec<String>,
    /// Views, routines and triggers, in an order in which each finds what it needs.
    rest: Vec<String>,
    /// The name in what the server shows of them.
    source: String,
    pub(super) has_triggers: bool,
}

#[derive(Debug)]
pub(super) struct TableScript {
    pub(super) name: String,
    create: String,
    /// Those that are not computed.
    columns: String,
    is_empty: bool,
}

impl Script {
    pub(super) async fn read(admin: &MySqlPool, source: &str) -> Result<Self, sqlx::Error> {
        let name = text(source);
        let sql = format!(
            "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = {name};
             SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = {name} ORDER BY table_name;
             SELECT routine_name, routine_type FROM information_schema.routines WHERE routine_schema = {name};
             SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = {name} ORDER BY action_order;
             SELECT table_name, GROUP_CONCAT(CONCAT('`', REPLACE(column_name, '`', '``'), '`') ORDER BY ordinal_position)
             FROM information_schema.columns
             WHERE table_schema = {name} AND extra NOT REGEXP '(VIRTUAL|STORED|PERSISTENT) GENERATED' GROUP BY table_name"
        );
        let results = batch(admin, sql).await?;
        let [schema, tables, routines, triggers, columns] = &results[..] else {
            return Err(sqlx::Error::Protocol("a result is missing".into()));
        };
        let mut script = Self {
            source: source.to_owned(),
            has_triggers: !triggers.is_empty(),
            ..Self::default()
        };
        if let Some(row) = schema.first() {
            script.options = format!(
                "CHARACTER SET {} COLLATE {}",
                required(row, 0)?,
                required(row, 1)?
            );
        }
        let mut views = Vec::new();
        for row in tables {
            let (name, kind) = (required(row, 0)?, required(row, 1)?);
            match &*kind {
                "VIEW" | "SYSTEM VIEW" => views.push(script.show(admin, "VIEW", &name, 1).await?.0),
                "SEQUENCE" => script.sequence(admin, &name).await?,
                _ => script.table(admin, name, columns).await?,
            }
        }
        for row in routines {
            let (name, kind) = (required(row, 0)?, required(row, 1)?);
            script.program(admin, &kind, &name).await?;
        }
        script.rest.extend(views);
        for row in triggers {
            script.program(admin, "TRIGGER", &required(row, 0)?).await?;
        }
        Ok(script)
    }

    async fn table(
        &mut self,
        admin: &MySqlPool,
        name: String,
        columns: &[MySqlRow],
    ) -> Result<(), sqlx::Error> {
        let (create, _) = self.show(admin, "TABLE", &name, 1).await?;
        let mut listed = String::new();
        for row in columns {
            if required(row, 0)? == name {
                listed = required(row, 1)?;
            }
        }
        self.tables.push(TableScript {
            name,
            create,
            columns: listed,
            is_empty: false,
        });
        Ok(())
    }

    async fn sequence(&mut self, admin: &MySqlPool, name: &str) -> Result<(), sqlx::Error> {
        let (create, _) = self.show(admin, "SEQUENCE", name, 1).await?;
        let place = format!("{}.{}", quoted(&self.source), quoted(name));
        let state = rows(admin, format!("SELECT next_not_cached_value FROM {place}")).await?;
        let next = state
            .first()
            .map_or(Ok(String::new()), |row| required(row, 0))?;
        self.sequences.push(create);
        self.sequences
            .push(format!("DO SETVAL({}, {next}, 0)", quoted(name)));
        Ok(())
    }

    /// A trigger or a routine, under the SQL mode that it was made under.
    async fn program(
        &mut self,
        admin: &MySqlPool,
        kind: &str,
        name: &str,
    ) -> Result<(), sqlx::Error> {
        let (create, mode) = self.show(admin, kind, name, 2).await?;
        self.rest.push(format!(
            "SET sql_mode = '{mode}'; {create}; SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'"
        ));
        Ok(())
    }

    /// What the server shows in this place, without its definer, and what it shows before that.
    async fn show(
        &self,
        admin: &MySqlPool,
        kind: &str,
        name: &str,
        place: usize,
    ) -> Result<(String, String), sqlx::Error> {
        let sql = format!(
            "SHOW CREATE {kind} {}.{}",
            quoted(&self.source),
            quoted(name)
        );
        let rows = rows(admin, sql).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let create = string(row, place)?.ok_or_else(|| {
            sqlx::Error::Protocol(format!(
                "the role of the URL may not see how {kind} {name} is made"
            ))
        })?;
        Ok((without_definer(&create), required(row, place - 1)?))
    }

    /// Makes the copy that all others come from, and learns in which order views can be made.
    pub(super) async fn create_first(
        mut self,
        admin: &MySqlPool,
        base: &str,
        source: &str,
    ) -> Result<Self, sqlx::Error> {
        let mut later = std::mem::take(&mut self.rest);
        execute(admin, self.copy(base, source)).await?;
        let mut error = None;
        while !later.is_empty() {
            let count = later.len();
            for sql in std::mem::take(&mut later) {
                let statement = format!(
                    "USE {}; {}; USE information_schema",
                    quoted(base),
                    self.renamed(&sql, base)
                );
                match execute(admin, statement).await {
                    Ok(()) => self.rest.push(sql),
                    Err(failed) => {
                        error = Some(failed);
                        later.push(sql);
                    }
                }
            }
            if let Some(error) = error.take_if(|_| later.len() == count) {
                return Err(error);
            }
        }
        let filled = self.tables.iter().map(|made| {
            format!(
                "SELECT EXISTS (SELECT 1 FROM {}.{});",
                quoted(base),
                quoted(&made.name)
            )
        });
        let filled = batch(admin, filled.collect()).await?;
        for (made, result) in self.tables.iter_mut().zip(filled) {
            made.is_empty = result
                .first()
                .map_or(Ok(String::new()), |row| required(row, 0))?
                == "0";
        }
        Ok(self)
    }

    /// One request that makes a whole copy.
    pub(super) fn copy(&self, name: &str, from: &str) -> String {
        let mut sql = format!(
            "CREATE DATABASE {0} {1}; USE {0};",
            quoted(name),
            self.options
        );
        for create in &self.sequences {
            let _ = write!(sql, "{create};");
        }
        for made in &self.tables {
            let _ = write!(sql, "{};", made.create);
        }
        sql.push_str("START TRANSACTION;");
        for made in &self.tables {
            made.fill(&mut sql, name, from);
        }
        sql.push_str("COMMIT;");
        for create in &self.rest {
            let _ = write!(sql, "{};", self.renamed(create, name));
        }
        // Sessions that use a copy are ended when it is discarded.
        sql.push_str("USE information_schema");
        sql
    }

    /// The server writes names out with the database in front.
    fn renamed(&self, sql: &str, name: &str) -> String {
        sql.replace(
            &format!("{}.", quoted(&self.source)),
            &format!("{}.", quoted(name)),
        )
    }
}

impl TableScript {
    pub(super) fn fill(&self, sql: &mut String, name: &str, from: &str) {
        if self.is_empty {
            return;
        }
        let (table, columns) = (quoted(&self.name), &self.columns);
        let (name, from) = (quoted(name), quoted(from));
        let _ = write!(
            sql,
            "INSERT INTO {name}.{table} ({columns}) SELECT {columns} FROM {from}.{table};"
        );
    }
}

/// Only a superuser may make things that are another's.
fn without_definer(create: &str) -> String {
    let Some(start) = create.find(" DEFINER=`") else {
        return create.to_owned();
    };
    let definer = &create[start + 1..];
    // `user`@`host`: a blank may be in either.
    let end = definer
        .match_indices('`')
        .nth(3)
        .map_or(0, |(at, _)| at + 1);
    format!("{}{}", &create[..start], &definer[end..])
}
