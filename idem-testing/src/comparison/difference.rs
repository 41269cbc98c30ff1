//! What a database holds that it should not, or the other way round, for people to read.

use std::fmt;

use super::snapshot::{Table, Value};

/// Rows of a table that are shown; the rest is counted.
const ROWS: usize = 20;

/// Characters of a value that are shown.
const LENGTH: usize = 60;

/// What is wrong with one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub(crate) table: String,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The table is not there.
    NoTable,
    /// The table should not be there.
    NewTable,
    /// Its columns are others: those that it should have, those that it has.
    Columns(Vec<String>, Vec<String>),
    /// How many rows it should have and has, and which differ.
    Rows(usize, usize, Vec<Change>),
}

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It should be there: its values by column.
    Missing(Vec<(String, Value)>),
    /// It should not be there.
    Extra(Vec<(String, Value)>),
    /// It has other values: what it is known by, and what differs.
    Changed {
        row: Vec<(String, Value)>,
        cells: Vec<Cell>,
    },
}

/// A value that should be another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) column: String,
    pub(crate) expected: Value,
    pub(crate) found: Value,
    /// What the identifier is of, if it is one and names another row than it should.
    pub(crate) refers: Option<String>,
}

impl Difference {
    pub(crate) fn of_schema(name: &str, expected: Option<&Table>, found: Option<&Table>) -> Self {
        let columns = |table: &Table| {
            let columns = table.columns.iter();
            columns
                .map(|column| format!("{} {}", column.name, column.type_name))
                .collect()
        };
        Self {
            table: name.to_owned(),
            what: match (expected, found) {
                (_, None) => What::NoTable,
                (None, _) => What::NewTable,
                (Some(expected), Some(found)) => What::Columns(columns(expected), columns(found)),
            },
        }
    }

    pub(crate) fn of_rows(
        name: &str,
        (expected, found): (usize, usize),
        changes: Vec<Change>,
    ) -> Self {
        Self {
            table: name.to_owned(),
            what: What::Rows(expected, found, changes),
        }
    }

    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// What a row of this table is to a reader.
    fn noun(&self) -> &'static str {
        let bare = self.table.rsplit('.').next();
        match bare.unwrap_or_default() {
            "idem_keys" => "the claim",
            "idem_outbox" => "the event",
            "idem_attempts" => "the attempt",
            "idem_dead_letters" => "the dead letter",
            bare if bare.ends_with(" objects") => "the object",
            _ => "the row",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_table = !self.table.ends_with(" objects");
        write!(f, "{}{}", if is_table { "table " } else { "" }, self.table)?;
        let (expected, found, changes) = match &self.what {
            What::NoTable => return f.write_str(" is not there, and should be"),
            What::NewTable => return f.write_str(" is there, and should not be"),
            What::Columns(expected, found) => {
                let (expected, found) = (expected.join(", "), found.join(", "));
                return write!(
                    f,
                    " has the columns ({found}), and should have ({expected})"
                );
            }
            What::Rows(expected, found, changes) => (expected, found, changes),
        };
        match (expected == found, *found) {
            (true, _) => {}
            (false, found) if !is_table => write!(f, ": {found}, and should be {expected}")?,
            (false, 1) => write!(f, ": 1 row, and should hold {expected}")?,
            (false, found) => write!(f, ": {found} rows, and should hold {expected}")?,
        }
        let noun = self.noun();
        for change in changes.iter().take(ROWS) {
            f.write_str("\n  ")?;
            match change {
                Change::Missing(row) => write!(f, "- {} ({noun} is missing)", Values(row)),
                Change::Extra(row) => write!(f, "+ {} ({noun} should not be there)", Values(row)),
                Change::Changed { row, cells } => write!(f, "~ {}: {}", Values(row), Cells(cells)),
            }?;
        }
        match changes.len().saturating_sub(ROWS) {
            0 => Ok(()),
            more => write!(f, "\n  .. and {more} more"),
        }
    }
}

struct Cells<'a>(&'a [Cell]);

impl fmt::Display for Cells<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, cell) in self.0.iter().enumerate() {
            f.write_str(if number > 0 { ", " } else { "" })?;
            fmt::Display::fmt(cell, f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, expected) = (shortened(&self.found), shortened(&self.expected));
        match &self.refers {
            None => write!(f, "{} is {found}, should be {expected}", self.column),
            Some(of) => write!(
                f,
                "{} is {found}, which connects other rows by {of} than {expected} did in the clean run",
                self.column
            ),
        }
    }
}

struct Values<'a>(&'a [(String, Value)]);

impl fmt::Display for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (column, value)) in self.0.iter().enumerate() {
            f.write_str(if number > 0 { ", " } else { "" })?;
            write!(f, "{column} {}", shortened(value))?;
        }
        Ok(())
    }
}

/// A value on one line, and not all of a long one.
pub(crate) fn shortened(value: &Value) -> String {
    shortened_text(&value.to_string())
}

/// Not all of a long text.
pub(crate) fn shortened_text(text: &str) -> String {
    let count = text.chars().count();
    if count <= LENGTH {
        return text.to_owned();
    }
    let start: String = text.chars().take(LENGTH - 20).collect();
    let end: String = text.chars().skip(count - 10).collect();
    format!("{start}..{end} ({count} characters)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_value_the_start_and_the_end_are_shown() {
        let shown = |text: String| shortened(&Value::Number(text));
        let longest = "1".repeat(60);
        assert_eq!(shown(longest.clone()), longest);
        assert_eq!(
            shown(format!("{}2{}", "1".repeat(40), "3".repeat(20))),
            format!("{}..{} (61 characters)", "1".repeat(40), "3".repeat(10))
        );
    }
}
