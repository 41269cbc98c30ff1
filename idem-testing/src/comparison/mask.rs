//! Which values may differ between two runs of the same delivery, and why.

mod align;
mod calibrate;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::changes::Domain;
use super::difference::shortened;
use super::snapshot::{Snapshot, Value};

/// What differs between clean runs of one delivery for a good reason, and so may differ in other
/// runs.
#[derive(Clone, Debug)]
pub struct Mask {
    /// Before the runs: rows that are still the same are compared exactly.
    pub(crate) base: Snapshot,
    /// By table and column, then by what stands before the value inside the column's text; empty
    /// for the whole.
    reasons: BTreeMap<(String, String), BTreeMap<String, MaskReason>>,
    pub(crate) domains: Vec<Domain>,
    /// Identifiers of each domain that name rows of the base.
    pub(crate) known: Vec<BTreeSet<String>>,
    /// UUIDs of the base, and those that came with the delivery: they are in each clean run.
    pub(crate) known_uuids: BTreeSet<[u8; 16]>,
}

/// Why a value may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MaskReason {
    /// Read off the clock.
    Time,
    /// The identifier of a database transaction.
    Transaction,
    /// The span that an event was emitted in.
    Trace,
    /// A UUID: any will do, but places that held the same one must hold the same one again.
    Uuid,
    /// A number of this domain: any will do, but it must refer to the same row.
    Identity(usize),
}

impl Mask {
    /// Nothing may differ from what is in `base`.
    pub(crate) fn exact(base: &Snapshot) -> Self {
        Self {
            base: base.clone(),
            reasons: BTreeMap::new(),
            domains: Vec::new(),
            known: Vec::new(),
            known_uuids: BTreeSet::new(),
        }
    }

    /// Why the value after `label` in this column may differ.
    pub(crate) fn why(&self, table: &str, column: &str, label: &str) -> Option<MaskReason> {
        let labels = self.reasons.get(&(table.to_owned(), column.to_owned()))?;
        labels.get(label).copied()
    }

    /// Whether anything in this column may differ.
    pub fn hides(&self, table: &str, column: &str) -> bool {
        let column = (table.to_owned(), column.to_owned());
        self.reasons.contains_key(&column)
    }

    /// One line a column: what is not compared, and what is compared 1:1.
    pub fn lines(&self) -> Vec<String> {
        self.reasons
            .iter()
            .flat_map(|((table, column), labels)| {
                labels.iter().map(move |(label, why)| {
                    let within = match label.as_str() {
                        "" => String::new(),
                        label => format!(" after `{}`", label.escape_debug()),
                    };
                    format!(
                        "{table}.{column}{within} ({})",
                        self.reason(table, column, *why)
                    )
                })
            })
            .collect()
    }

    fn reason(&self, table: &str, column: &str, why: MaskReason) -> String {
        match why {
            MaskReason::Time => "time".into(),
            MaskReason::Transaction => "transaction".into(),
            MaskReason::Trace => "trace".into(),
            MaskReason::Uuid => "UUID, compared 1:1".into(),
            MaskReason::Identity(domain) => match &self.domains[domain] {
                own if own.table == table && own.column == column => {
                    "identity, compared 1:1".into()
                }
                other => format!("refers to {}.{}, compared 1:1", other.table, other.column),
            },
        }
    }
}

/// Something that differs between two clean runs, and nothing says that it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nondeterminism {
    pub(crate) table: String,
    pub(crate) what: Unexplained,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unexplained {
    /// A column of rows that are the same otherwise.
    Column(String, Value, Value),
    /// How many rows each run added.
    Added(usize, usize),
    /// The rows of before that a run changed or deleted.
    Removed,
    /// The table's columns, or that it is there.
    Schema,
}

impl fmt::Display for Nondeterminism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("handler is not deterministic: ")?;
        let table = &self.table;
        match &self.what {
            Unexplained::Column(column, one, other) => {
                let (one, other) = (shortened(one), shortened(other));
                write!(
                    f,
                    "{table}.{column} differs between two clean runs: {one} and {other}"
                )
            }
            Unexplained::Added(one, other) => {
                write!(f, "two clean runs wrote {one} and {other} rows of {table}")
            }
            Unexplained::Removed => write!(
                f,
                "two clean runs changed or deleted different rows of {table}"
            ),
            Unexplained::Schema => {
                write!(f, "two clean runs left {table} with other columns")
            }
        }
    }
}

#[cfg(test)]
mod tests;
