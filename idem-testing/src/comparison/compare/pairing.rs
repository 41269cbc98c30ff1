//! Which missing row and which extra row are one row with other values.

use super::graph::{Graph, Mismatch};
use crate::comparison::difference::{Cell, Change};
use crate::comparison::mask::Mask;
use crate::comparison::snapshot::{Table, Value};

/// Rows of one table, with their nodes if the run wrote them.
pub(super) struct Unmatched<'a> {
    pub(super) missing: Vec<(&'a [Value], Option<usize>)>,
    pub(super) extra: Vec<(&'a [Value], Option<usize>)>,
}

impl Unmatched<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty()
    }
}

type Row<'a> = (&'a [Value], Option<usize>);

struct Pairing<'p, 'a> {
    table: &'p Table,
    graphs: (&'p Graph<'a>, &'p Graph<'a>),
    mismatch: Option<&'p Mismatch>,
    mask: &'p Mask,
}

pub(super) fn pair<'a>(
    table: &Table,
    unmatched: Unmatched<'a>,
    graphs: (&Graph<'a>, &Graph<'a>),
    mismatch: Option<&Mismatch>,
    mask: &Mask,
) -> Vec<Change> {
    let Unmatched { missing, mut extra } = unmatched;
    let pairing = Pairing {
        table,
        graphs,
        mismatch,
        mask,
    };
    let mut changes = Vec::new();
    let mut alone = Vec::new();
    // A key is a better reason than a likeness, so all keys come first.
    for row in missing {
        let partner = extra
            .iter()
            .position(|other| pairing.has_same_key(row, *other));
        match partner {
            Some(place) => changes.push(pairing.changed(row, extra.remove(place))),
            None => alone.push(row),
        }
    }
    for row in alone {
        let partner = extra
            .iter()
            .enumerate()
            .map(|(place, other)| (pairing.likeness(row, *other), place))
            .filter(|(likeness, _)| 2 * likeness >= table.columns.len())
            .max_by_key(|(likeness, place)| (*likeness, std::cmp::Reverse(*place)));
        changes.push(match partner {
            Some((_, place)) => pairing.changed(row, extra.remove(place)),
            None => Change::Missing(pairing.named(row.0, |_| true)),
        });
    }
    let extra = extra.into_iter();
    changes.extend(extra.map(|row| Change::Extra(pairing.named(row.0, |_| true))));
    changes
}

impl Pairing<'_, '_> {
    fn has_same_key(&self, one: Row<'_>, other: Row<'_>) -> bool {
        let key = &self.table.primary_key;
        !key.is_empty() && key.iter().all(|place| one.0[*place] == other.0[*place])
    }

    /// In how many columns they are equal, or may differ.
    fn likeness(&self, one: Row<'_>, other: Row<'_>) -> usize {
        let places = 0..self.table.columns.len();
        places
            .filter(|place| self.is_alike(one, other, *place))
            .count()
    }

    fn is_alike(&self, one: Row<'_>, other: Row<'_>, place: usize) -> bool {
        match (one.1, other.1) {
            (Some(node), Some(other)) => {
                self.graphs.0.nodes[node].contents[place]
                    == self.graphs.1.nodes[other].contents[place]
            }
            _ => one.0[place] == other.0[place],
        }
    }

    fn changed(&self, one: Row<'_>, other: Row<'_>) -> Change {
        let places = 0..self.table.columns.len();
        let cells: Vec<_> = places
            .filter_map(|place| {
                let refers = self.refers_elsewhere(one, other, place);
                (refers.is_some() || !self.is_alike(one, other, place)).then(|| Cell {
                    column: self.table.columns[place].name.clone(),
                    expected: one.0[place].clone(),
                    found: other.0[place].clone(),
                    refers,
                })
            })
            .collect();
        let key = &self.table.primary_key;
        Change::Changed {
            // A row without a key is named by all that is equal.
            row: self.named(other.0, |place| {
                let name = &self.table.columns[place].name;
                let is_key = key.is_empty() || key.contains(&place);
                is_key && !cells.iter().any(|cell| cell.column == *name)
            }),
            cells,
        }
    }

    /// The domain of the identifier in this column, if it connects the row with others than it
    /// should.
    fn refers_elsewhere(&self, one: Row<'_>, other: Row<'_>, place: usize) -> Option<String> {
        let mismatch = self.mismatch.filter(|mismatch| mismatch.is_of_references)?;
        let expected = &self.graphs.0.nodes[one.1?].identifiers;
        let found = &self.graphs.1.nodes[other.1?].identifiers;
        let pairs = expected.iter().zip(found);
        let mut pairs = pairs.filter(|((_, column), _)| *column == place);
        let ((number, _), _) = pairs.find(|((expected, _), (found, _))| {
            mismatch.expected.identifiers[*expected] != mismatch.found.identifiers[*found]
        })?;
        Some(match self.graphs.0.domain(*number) {
            Some(domain) => {
                let domain = &self.mask.domains[domain];
                format!("{}.{}", domain.table, domain.column)
            }
            None => "UUIDs".into(),
        })
    }

    fn named(&self, row: &[Value], is_shown: impl Fn(usize) -> bool) -> Vec<(String, Value)> {
        let places = (0..row.len()).filter(|place| is_shown(*place));
        places
            .map(|place| (self.table.columns[place].name.clone(), row[place].clone()))
            .collect()
    }
}
