//! Whether two databases hold the same, up to what may differ.
//!
//! Rows that were there before and are unchanged are compared exactly. The others are the nodes of
//! a graph whose edges are the identifiers that rows share: generated numbers and UUIDs, whatever
//! they are, must connect the same rows in both.

mod graph;
mod pairing;
mod symbols;
mod table_pair;

use std::collections::BTreeSet;

use super::changes::Changes;
use super::difference::Difference;
use super::mask::Mask;
use super::snapshot::{Snapshot, Value};
use graph::{Colours, Graph, Mismatch};
use pairing::Unmatched;
use symbols::Symbols;
use table_pair::TablePair;

/// What `found` holds other than `expected`, which a clean run left.
pub fn compare(expected: &Snapshot, found: &Snapshot, mask: &Mask) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut tables = Vec::new();
    let names: BTreeSet<_> = expected.tables.keys().chain(found.tables.keys()).collect();
    for name in names {
        match (expected.tables.get(name), found.tables.get(name)) {
            (Some(table), Some(other)) if table.columns == other.columns => {
                tables.push(TablePair {
                    name,
                    columns: &table.columns,
                    expected: Changes::of(name, &mask.base, expected),
                    found: Changes::of(name, &mask.base, found),
                });
            }
            (before, after) => differences.push(Difference::of_schema(name, before, after)),
        }
    }
    let symbols = Symbols::new(&tables, expected, found, mask);
    let expected_graph = Graph::new(&tables, |pair| &pair.expected.added, &symbols.expected());
    let found_graph = Graph::new(&tables, |pair| &pair.found.added, &symbols.found());
    let graphs = (&expected_graph, &found_graph);
    let mismatch = graph::match_up(graphs).err();
    for (number, pair) in tables.iter().enumerate() {
        let unmatched = unmatched(number, pair, graphs, mismatch.as_ref());
        if unmatched.is_empty() {
            continue;
        }
        let rows = (expected.rows(pair.name).len(), found.rows(pair.name).len());
        let changes = pairing::pair(
            &expected.tables[pair.name],
            unmatched,
            graphs,
            mismatch.as_ref(),
            mask,
        );
        differences.push(Difference::of_rows(pair.name, rows, changes));
    }
    differences.sort_by(|one, other| one.table.cmp(&other.table));
    differences
}

/// The rows of a table that only one side has.
fn unmatched<'a>(
    number: usize,
    pair: &TablePair<'a>,
    graphs: (&Graph<'a>, &Graph<'a>),
    mismatch: Option<&Mismatch>,
) -> Unmatched<'a> {
    let mut unmatched = Unmatched {
        missing: without(&pair.found.removed, &pair.expected.removed),
        extra: without(&pair.expected.removed, &pair.found.removed),
    };
    if let Some(mismatch) = mismatch {
        let of = |graph: &Graph<'a>, colours: &Colours, others: &Colours| -> Vec<_> {
            let rows = graph.without_match(colours, others).into_iter();
            rows.filter(|node| graph.nodes[*node].table == number)
                .map(|node| (graph.nodes[node].row, Some(node)))
                .collect()
        };
        let (expected, found) = (&mismatch.expected, &mismatch.found);
        unmatched.missing.extend(of(graphs.0, expected, found));
        unmatched.extra.extend(of(graphs.1, found, expected));
    }
    unmatched
}

/// Both are in order.
fn without<'a>(rows: &[&'a [Value]], others: &[&'a [Value]]) -> Vec<(&'a [Value], Option<usize>)> {
    let mut others = others.iter().peekable();
    rows.iter()
        .filter(|row| {
            while others.next_if(|other| other < row).is_some() {}
            others.next_if(|other| other == row).is_none()
        })
        .map(|row| (*row, None))
        .collect()
}

#[cfg(test)]
mod tests;
