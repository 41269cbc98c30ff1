//! From a description of the tables to their rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::comparison::snapshot::{Column, ForeignKey, Table, Value, Volatility};

/// The tables as the database describes them, and how each is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    tables: BTreeMap<String, Entry>,
    /// The constraint that the last column pair was of.
    constraint: Option<(String, String)>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    table: Table,
    source: String,
    selected: Vec<String>,
    kinds: Vec<ValueKind>,
    primary_key: Vec<(u32, usize)>,
}

/// A column, or, without a name, a table that has none.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) table: String,
    /// What stands after FROM.
    pub(crate) source: String,
    pub(crate) name: Option<String>,
    /// What stands after SELECT.
    pub(crate) selected: String,
    pub(crate) type_name: String,
    pub(crate) volatility: Volatility,
    pub(crate) kind: ValueKind,
    /// Its place in the primary key.
    pub(crate) primary_key: Option<u32>,
}

/// What a column's values are, apart from the type's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "SQLite's values have types of their own")
)]
pub(crate) enum ValueKind {
    Text,
    Number,
    Bytes,
}

/// Whether a column says nothing that the other columns of its row do not. Where an event's key or
/// payload differs for a good reason, such as a number that the database generated, so do its shard
/// and its size.
fn is_derived(table: &str, column: &str) -> bool {
    let table = table.rsplit('.').next().unwrap_or(table);
    let is_event = matches!(table, "idem_outbox" | "idem_dead_letters");
    is_event && matches!(column, "shard" | "size")
}

impl Catalog {
    pub(crate) fn column(&mut self, described: Described) {
        let entry = self.tables.entry(described.table.clone()).or_default();
        entry.source = described.source;
        let Some(name) = described.name else {
            return;
        };
        if is_derived(&described.table, &name) {
            return;
        }
        if let Some(order) = described.primary_key {
            entry.primary_key.push((order, entry.kinds.len()));
        }
        entry.selected.push(described.selected);
        entry.kinds.push(described.kind);
        entry.table.columns.push(Column {
            name,
            type_name: described.type_name,
            volatility: described.volatility,
        });
    }

    /// One pair of columns of a foreign key; those of one constraint come one after the other.
    pub(crate) fn foreign_key(
        &mut self,
        table: &str,
        referenced: &str,
        constraint: &str,
        column: &str,
        referenced_column: String,
    ) {
        let Some(entry) = self.tables.get_mut(table) else {
            return;
        };
        let Some(place) = entry.table.place(column) else {
            return;
        };
        let constraint = (table.to_owned(), constraint.to_owned());
        if self.constraint.as_ref() != Some(&constraint) {
            self.constraint = Some(constraint);
            entry.table.foreign_keys.push(ForeignKey {
                columns: Vec::new(),
                table: referenced.to_owned(),
                referenced: Vec::new(),
            });
        }
        if let Some(key) = entry.table.foreign_keys.last_mut() {
            key.columns.push(place);
            key.referenced.push(referenced_column);
        }
    }

    /// One statement a table, in order.
    pub(crate) fn selects(&self) -> String {
        let mut sql = String::new();
        for entry in self.tables.values() {
            let _ = write!(
                sql,
                "SELECT {} FROM {}; ",
                entry.selected.join(", "),
                entry.source
            );
        }
        sql
    }

    /// What stands after FROM for each table.
    #[cfg(feature = "postgres")]
    pub(crate) fn sources(&self) -> BTreeMap<String, String> {
        let tables = self.tables.iter();
        tables
            .map(|(name, entry)| (name.clone(), entry.source.clone()))
            .collect()
    }

    /// The tables with the rows that [`selects`](Self::selects) gave.
    pub(crate) fn filled<R, E>(
        self,
        results: Vec<Vec<R>>,
        value: impl Fn(&R, usize, ValueKind) -> Result<Value, E>,
    ) -> Result<BTreeMap<String, Table>, E> {
        let mut tables = self.unsorted(results, value)?;
        for table in tables.values_mut() {
            table.rows.sort_unstable();
        }
        Ok(tables)
    }

    /// As [`filled`](Self::filled), with the rows in the order in which they came.
    pub(crate) fn unsorted<R, E>(
        self,
        results: Vec<Vec<R>>,
        value: impl Fn(&R, usize, ValueKind) -> Result<Value, E>,
    ) -> Result<BTreeMap<String, Table>, E> {
        let mut results = results.into_iter();
        let mut tables = BTreeMap::new();
        for (name, mut entry) in self.tables {
            for row in results.next().unwrap_or_default() {
                let values = entry.kinds.iter().enumerate();
                let values = values.map(|(place, kind)| value(&row, place, *kind));
                entry.table.rows.push(values.collect::<Result<_, _>>()?);
            }
            entry.primary_key.sort_unstable();
            let places = entry.primary_key.into_iter().map(|(_, place)| place);
            entry.table.primary_key = places.collect();
            tables.insert(name, entry.table);
        }
        Ok(tables)
    }
}
