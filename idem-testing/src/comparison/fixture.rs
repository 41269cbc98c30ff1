//! Databases to compare, for tests.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::snapshot::{Column, ForeignKey, Snapshot, Table, Value, Volatility, Window};

/// A run that took half a second, this many seconds after 2026-01-01.
pub(crate) fn run_at(second: u64) -> Snapshot {
    let from = UNIX_EPOCH + Duration::from_secs(1_767_225_600 + second);
    Snapshot {
        tables: BTreeMap::new(),
        window: Window {
            from,
            to: from + Duration::from_millis(500),
        },
    }
}

impl Snapshot {
    /// Columns as in `id key generated, order_id -> orders.id, at time`.
    pub(crate) fn with<R: IntoIterator<Item = Vec<Value>>>(
        mut self,
        name: &str,
        columns: &str,
        rows: R,
    ) -> Self {
        let mut table = Table::default();
        for (place, column) in columns.split(',').enumerate() {
            let mut words = column.split_whitespace();
            let mut volatility = Volatility::Plain;
            let name = words.next().unwrap();
            while let Some(word) = words.next() {
                match word {
                    "key" => table.primary_key.push(place),
                    "generated" => volatility = Volatility::Generated,
                    "time" => volatility = Volatility::Time,
                    "transaction" => volatility = Volatility::Transaction,
                    "->" => {
                        let (other, column) = words.next().unwrap().split_once('.').unwrap();
                        table.foreign_keys.push(ForeignKey {
                            columns: vec![place],
                            table: other.into(),
                            referenced: vec![column.into()],
                        });
                    }
                    other => panic!("{other}"),
                }
            }
            table.columns.push(Column {
                name: name.into(),
                type_name: "any".into(),
                volatility,
            });
        }
        table.rows.extend(rows);
        table.rows.sort();
        self.tables.insert(name.into(), table);
        self
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::from)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

macro_rules! rows {
    ($([$($value:expr),* $(,)?]),* $(,)?) => {
        vec![$(vec![$($crate::comparison::snapshot::Value::from($value)),*]),*]
    };
}

pub(crate) use rows;
