//! Everything that a database holds, as exact text.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

/// All tables of a database at one moment, ours included.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// By name; qualified where the name alone would not be found.
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) window: Window,
}

/// Stands for a table: what a database holds besides tables, such as views, functions and triggers.
pub(crate) const SCHEMA_OBJECTS: &str = "schema objects";

/// Stands for a table: PostgreSQL's large objects.
#[cfg(feature = "postgres")]
pub(crate) const LARGE_OBJECTS: &str = "large objects";

/// When what a [`Snapshot`] shows was written: between the making of the copy and the reading of
/// it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: SystemTime,
    pub(crate) to: SystemTime,
}

impl Window {
    pub(crate) fn until_now(from: SystemTime) -> Self {
        Self {
            from,
            to: SystemTime::now(),
        }
    }
}

/// A table with its rows in order of their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    /// Places of the primary key's columns, in its order; empty where there is none.
    pub(crate) primary_key: Vec<usize>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    pub(crate) rows: Vec<Vec<Value>>,
}

/// A column of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// As the database writes it.
    pub(crate) type_name: String,
    pub(crate) volatility: Volatility,
}

/// Why a column may hold other values in each run, if it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Volatility {
    /// Nothing about it says so.
    Plain,
    /// The database numbers the rows: identity, serial, auto increment.
    Generated,
    /// A type of date or time, or a default that reads the clock.
    Time,
    /// An identifier of a transaction.
    Transaction,
    /// Computed from other columns of the row.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "only PostgreSQL reports it")
    )]
    Computed,
}

/// Columns that hold the key of another row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    /// Places of the columns.
    pub(crate) columns: Vec<usize>,
    /// The table that they refer to.
    pub(crate) table: String,
    /// Names of the columns there, in the same order.
    pub(crate) referenced: Vec<String>,
}

/// One value, as the database writes it: two are equal if and only if they are the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// SQL's `NULL`.
    Null,
    /// A number, written out.
    Number(String),
    /// Everything else that has a text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// Bytes that may be text in a text column.
    pub(crate) fn text(bytes: &[u8]) -> Self {
        std::str::from_utf8(bytes).map_or_else(
            |_| Self::Bytes(bytes.to_vec()),
            |text| Self::Text(text.to_owned()),
        )
    }

    /// As [`text`](Self::text), of a numeric column.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(crate) fn number(bytes: &[u8]) -> Self {
        match Self::text(bytes) {
            Self::Text(text) => Self::Number(text),
            other => other,
        }
    }
}

/// As a reader would write it, in full.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Number(number) => f.write_str(number),
            Self::Text(text) => write!(f, "'{}'", text.escape_debug()),
            Self::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if !text.chars().any(char::is_control) => write!(f, "'{text}'"),
                _ => write!(f, "\\x{}", hex::encode(bytes)),
            },
        }
    }
}

impl Table {
    /// Of schema objects: the kind, the name and the definition of each.
    #[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
    pub(crate) fn of_schema_objects(objects: impl IntoIterator<Item = [Value; 3]>) -> Self {
        let columns = ["kind", "name", "definition"].map(|name| Column {
            name: name.into(),
            type_name: "text".into(),
            volatility: Volatility::Plain,
        });
        let mut rows: Vec<_> = objects.into_iter().map(Vec::from).collect();
        rows.sort_unstable();
        Self {
            columns: columns.into(),
            primary_key: vec![0, 1],
            foreign_keys: Vec::new(),
            rows,
        }
    }

    /// Where the column of this name stands.
    pub(crate) fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|one| one.name == column)
    }
}

impl Snapshot {
    /// Leaves out a column, given as `table.column`, or all rows of a table. `false`: there is no
    /// such column or table.
    pub(crate) fn leave_out(&mut self, name: &str) -> bool {
        if let Some(table) = self.tables.get_mut(name) {
            table.rows.clear();
            return true;
        }
        let Some((table, column)) = name.rsplit_once('.') else {
            return false;
        };
        let Some(table) = self.tables.get_mut(table) else {
            return false;
        };
        let Some(place) = table.place(column) else {
            return false;
        };
        for row in &mut table.rows {
            row[place] = Value::Null;
        }
        table.rows.sort_unstable();
        true
    }

    /// The rows of a table, in order; none where there is no such table.
    pub fn rows(&self, table: &str) -> &[Vec<Value>] {
        self.tables.get(table).map_or(&[], |table| &table.rows)
    }

    /// Whether both show the same tables with the same rows.
    pub fn is_same(&self, other: &Self) -> bool {
        self.tables.len() == other.tables.len()
            && self.tables.iter().all(|(name, table)| {
                other
                    .tables
                    .get(name)
                    .is_some_and(|other| table.columns == other.columns && table.rows == other.rows)
            })
    }
}
