//! What a run did to a table, and where the identifiers that it wrote come from.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::snapshot::{Snapshot, Table, Value, Volatility};
use super::token;
use super::token::Token;

/// The rows that a run added and removed. A changed row counts as both.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    pub(crate) removed: Vec<&'a [Value]>,
    pub(crate) added: Vec<&'a [Value]>,
}

impl<'a> Changes<'a> {
    /// Of one table. A table of other columns is another table.
    pub(crate) fn of(table: &str, base: &'a Snapshot, run: &'a Snapshot) -> Self {
        let Some(now) = run.tables.get(table) else {
            return Self::default();
        };
        let before = base.tables.get(table);
        let before = before.filter(|before| before.columns == now.columns);
        Self::between(before.map_or(&[], |table| &table.rows), &now.rows)
    }

    fn between(before: &'a [Vec<Value>], now: &'a [Vec<Value>]) -> Self {
        let mut changes = Self::default();
        let (mut before, mut now) = (before.iter().peekable(), now.iter().peekable());
        loop {
            let order = match (before.peek(), now.peek()) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(before), Some(now)) => before.cmp(now),
            };
            if order == Ordering::Less {
                changes.removed.extend(before.next().map(Vec::as_slice));
            } else if order == Ordering::Greater {
                changes.added.extend(now.next().map(Vec::as_slice));
            } else {
                before.next();
                now.next();
            }
        }
    }
}

/// A column whose numbers the database makes up, and what refers to it: the numbers of one domain
/// name the same rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Domain {
    pub(crate) table: String,
    pub(crate) column: String,
}

/// A number without zeros in front, as an identifier is the same with them.
pub(crate) fn identifier(number: &str) -> &str {
    let bare = number.trim_start_matches('0');
    if bare.is_empty() { "0" } else { bare }
}

/// The numbers of a domain that a table holds, in these of its rows.
pub(crate) fn identifiers<'a>(
    table: &Table,
    column: &str,
    rows: impl IntoIterator<Item = &'a [Value]>,
) -> BTreeSet<String> {
    let Some(place) = table.place(column) else {
        return BTreeSet::new();
    };
    rows.into_iter()
        .filter_map(|row| match &token::parts(&row[place])[..] {
            [
                token::Part {
                    token: Token::Number(number),
                    ..
                },
            ] => Some(identifier(number).to_owned()),
            _ => None,
        })
        .collect()
}

/// The domain that a column's numbers are of: its own, or by foreign keys that of another.
pub(crate) fn domain_of(
    tables: &BTreeMap<String, Table>,
    domains: &[Domain],
    table: &str,
    place: usize,
) -> Option<usize> {
    let mut reached = (table.to_owned(), place);
    // A chain of foreign keys can end in itself.
    for _ in 0..=tables.len() {
        let table = tables.get(&reached.0)?;
        let column = &table.columns[reached.1];
        let is_it = |domain: &Domain| domain.table == reached.0 && domain.column == column.name;
        if let Some(found) = domains.iter().position(is_it) {
            return Some(found);
        }
        let next = table.foreign_keys.iter().find_map(|key| {
            let pair = key.columns.iter().position(|place| *place == reached.1)?;
            let place = tables.get(&key.table)?.place(&key.referenced[pair])?;
            Some((key.table.clone(), place))
        });
        reached = next?;
    }
    None
}

/// All columns that the database numbers.
pub(crate) fn generated(tables: &BTreeMap<String, Table>) -> Vec<Domain> {
    tables
        .iter()
        .flat_map(|(name, table)| {
            let columns = table.columns.iter();
            let generated = columns.filter(|column| column.volatility == Volatility::Generated);
            generated.map(|column| Domain {
                table: name.clone(),
                column: column.name.clone(),
            })
        })
        .collect()
}
