//! Rows as nodes that shared identifiers connect, and whether two such graphs are the same.
//!
//! Each node and identifier has a colour, at first what it is by itself, then again and again what
//! it and its neighbours are. What has the same colour in the end can't be told apart; where
//! several can't, one is singled out on both sides and the colours are refined again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use super::symbols::{Side, Symbol};
use super::table_pair::TablePair;
use crate::comparison::snapshot::Value;

/// How often one of several alike is singled out. Beyond that, they are taken as matched by colour,
/// which is wrong only for rows that refer to each other in rings.
const ATTEMPTS: u32 = 200;

/// The rows that a run added, in all tables.
#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    /// For each identifier its domain, and the rows and places where it stands.
    identifiers: Vec<(Option<usize>, Vec<(usize, usize)>)>,
}

#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) table: usize,
    pub(super) row: &'a [Value],
    /// For each column what is in it apart from which identifiers these are.
    pub(super) contents: Vec<u64>,
    /// The identifiers in it, with their columns.
    pub(super) identifiers: Vec<(usize, usize)>,
}

/// Equal for what can't be told apart.
#[derive(Clone, Debug)]
pub(super) struct Colours {
    pub(super) nodes: Vec<u64>,
    pub(super) identifiers: Vec<u64>,
}

/// Colours of both sides at which their rows do not match.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) expected: Colours,
    pub(super) found: Colours,
    /// Whether the rows match by what they hold, and only not by what they refer to.
    pub(super) is_of_references: bool,
}

impl<'a> Graph<'a> {
    pub(super) fn new(
        tables: &[TablePair<'a>],
        rows: impl for<'p> Fn(&'p TablePair<'a>) -> &'p Vec<&'a [Value]>,
        side: &Side<'_>,
    ) -> Self {
        let mut graph = Self::default();
        let mut numbers = BTreeMap::new();
        for (table, pair) in tables.iter().enumerate() {
            for row in rows(pair) {
                graph.add(table, row, &mut numbers, |place, value| {
                    side.of(pair.name, (place, &pair.columns[place].name), value)
                });
            }
        }
        graph
    }

    fn add(
        &mut self,
        table: usize,
        row: &'a [Value],
        numbers: &mut BTreeMap<(Option<usize>, String), usize>,
        symbols: impl Fn(usize, &Value) -> Vec<Symbol>,
    ) {
        let mut contents = Vec::new();
        let mut own = Vec::new();
        for (place, value) in row.iter().enumerate() {
            let mut hasher = DefaultHasher::new();
            std::mem::discriminant(value).hash(&mut hasher);
            for symbol in symbols(place, value) {
                let Symbol::Identifier(domain, name) = symbol else {
                    symbol.hash(&mut hasher);
                    continue;
                };
                domain.hash(&mut hasher);
                let next = self.identifiers.len();
                let number = *numbers.entry((domain, name)).or_insert(next);
                if number == next {
                    self.identifiers.push((domain, Vec::new()));
                }
                self.identifiers[number]
                    .1
                    .push((self.nodes.len(), own.len()));
                own.push((number, place));
            }
            contents.push(hasher.finish());
        }
        self.nodes.push(Node {
            table,
            row,
            contents,
            identifiers: own,
        });
    }

    /// What an identifier names: rows of a domain, or anything that has a UUID.
    pub(super) fn domain(&self, identifier: usize) -> Option<usize> {
        self.identifiers[identifier].0
    }

    fn colours(&self) -> Colours {
        let of_node = |node: &Node<'_>| hash(&(node.table, &node.contents));
        Colours {
            nodes: self.nodes.iter().map(of_node).collect(),
            identifiers: self
                .identifiers
                .iter()
                .map(|(domain, _)| hash(domain))
                .collect(),
        }
    }

    fn refine_nodes(&self, colours: &mut Colours) {
        for (node, colour) in self.nodes.iter().zip(&mut colours.nodes) {
            let own = node.identifiers.iter();
            let own = own.map(|(number, _)| colours.identifiers[*number]);
            *colour = hash(&(*colour, own.collect::<Vec<_>>()));
        }
    }

    fn refine_identifiers(&self, colours: &mut Colours) {
        for ((_, places), colour) in self.identifiers.iter().zip(&mut colours.identifiers) {
            let around = places.iter();
            let around = around.map(|(node, place)| (colours.nodes[*node], *place));
            let mut around: Vec<_> = around.collect();
            around.sort_unstable();
            *colour = hash(&(*colour, around));
        }
    }

    /// A colour of several identifiers that connect rows. One that stands in a single row is
    /// matched with that row.
    fn ambiguous(&self, colours: &Colours) -> Option<u64> {
        let identifiers = self.identifiers.iter().zip(&colours.identifiers);
        let connecting = identifiers
            .filter(|((_, places), _)| places.iter().any(|(node, _)| *node != places[0].0));
        let connecting: Vec<_> = connecting.map(|(_, colour)| *colour).collect();
        let mut counted = counts(&connecting).into_iter();
        counted
            .find(|(_, count)| *count > 1)
            .map(|(colour, _)| colour)
    }

    /// The rows beyond what the other side has of their colour.
    pub(super) fn without_match(&self, colours: &Colours, others: &Colours) -> Vec<usize> {
        let mut left = counts(&others.nodes);
        (0..self.nodes.len())
            .filter(|node| match left.get_mut(&colours.nodes[*node]) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    false
                }
                _ => true,
            })
            .collect()
    }
}

/// Whether there is a bijection of the identifiers that makes the rows equal.
pub(super) fn match_up((expected, found): (&Graph<'_>, &Graph<'_>)) -> Result<(), Mismatch> {
    let colours = (expected.colours(), found.colours());
    if counts(&colours.0.nodes) != counts(&colours.1.nodes) {
        return Err(Mismatch {
            expected: colours.0,
            found: colours.1,
            is_of_references: false,
        });
    }
    settle((expected, found), colours, &Cell::new(ATTEMPTS))
}

fn settle(
    graphs: (&Graph<'_>, &Graph<'_>),
    mut colours: (Colours, Colours),
    attempts: &Cell<u32>,
) -> Result<(), Mismatch> {
    let mut distinct = 0;
    loop {
        graphs.0.refine_nodes(&mut colours.0);
        graphs.1.refine_nodes(&mut colours.1);
        let nodes = counts(&colours.0.nodes);
        if nodes != counts(&colours.1.nodes) {
            return Err(Mismatch {
                expected: colours.0,
                found: colours.1,
                is_of_references: true,
            });
        }
        graphs.0.refine_identifiers(&mut colours.0);
        graphs.1.refine_identifiers(&mut colours.1);
        let identifiers = counts(&colours.0.identifiers);
        // Where identifiers do not match, neither do the rows that they stand in, a round later.
        let now = nodes.len() + identifiers.len();
        if identifiers == counts(&colours.1.identifiers) && now == distinct {
            break;
        }
        distinct = now;
    }
    let Some(ambiguous) = graphs.0.ambiguous(&colours.0) else {
        return Ok(());
    };
    let of_class = |colours: &Colours| {
        let places = colours.identifiers.iter().enumerate();
        let places = places.filter(|(_, colour)| **colour == ambiguous);
        places.map(|(place, _)| place).collect::<Vec<_>>()
    };
    let one = of_class(&colours.0)[0];
    let mut last = None;
    for other in of_class(&colours.1) {
        if attempts.get() == 0 {
            return Ok(());
        }
        attempts.set(attempts.get() - 1);
        let mut singled = colours.clone();
        singled.0.identifiers[one] = hash(&(ambiguous, "singled out"));
        singled.1.identifiers[other] = hash(&(ambiguous, "singled out"));
        match settle(graphs, singled, attempts) {
            Ok(()) => return Ok(()),
            Err(mismatch) => last = Some(mismatch),
        }
    }
    last.map_or(Ok(()), Err)
}

fn counts(colours: &[u64]) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for colour in colours {
        *counts.entry(*colour).or_default() += 1;
    }
    counts
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
