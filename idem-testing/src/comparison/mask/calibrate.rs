//! From clean runs to a mask.

use std::collections::{BTreeMap, BTreeSet};

use super::align::align;
use super::{Mask, MaskReason, Nondeterminism, Unexplained};
use crate::comparison::changes;
use crate::comparison::changes::{Changes, Domain};
use crate::comparison::snapshot::{Snapshot, Table, Value, Volatility};
use crate::comparison::timestamp::Timestamp;
use crate::comparison::token;
use crate::comparison::token::Token;

/// Values of one place in aligned rows, one of each run.
type Places<'a> = BTreeMap<(usize, String), Vec<Varying<'a>>>;

struct Varying<'a> {
    tokens: Vec<Token>,
    values: Vec<&'a Value>,
}

impl Mask {
    /// Learns what may differ from clean runs of one delivery: at least two, one of them with
    /// sequences moved on.
    ///
    /// # Errors
    ///
    /// Differences between them that have no good reason.
    pub fn calibrate(clean: &[Snapshot], base: &Snapshot) -> Result<Self, Vec<Nondeterminism>> {
        let mut mask = Self {
            known_uuids: known_uuids(clean, base),
            ..Self::exact(base)
        };
        let Some(first) = clean.first() else {
            return Ok(mask);
        };
        let mut unexplained = Vec::new();
        let mut varying = BTreeMap::new();
        let names: BTreeSet<&String> = clean.iter().flat_map(|run| run.tables.keys()).collect();
        for name in names {
            match places(name, clean, base) {
                Ok(places) => {
                    varying.insert(name.clone(), places);
                }
                Err(what) => unexplained.extend(what.into_iter().map(|what| Nondeterminism {
                    table: name.clone(),
                    what,
                })),
            }
        }
        let domains = changes::generated(&first.tables).into_iter();
        for domain in domains {
            let place = first.tables[&domain.table]
                .place(&domain.column)
                .unwrap_or(0);
            let varies = varying.get(&domain.table);
            if varies.is_some_and(|places| places.contains_key(&(place, String::new()))) {
                mask.known.push(known(base, &domain));
                mask.domains.push(domain);
            }
        }
        let explainer = Explainer::new(&mask, clean);
        let mut reasons = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (name, places) in &varying {
            let table = &first.tables[name];
            let mut reported = BTreeSet::new();
            for ((place, label), rows) in places {
                let column = &table.columns[*place].name;
                if let Some(why) = explainer.explain(name, table, *place, label, rows) {
                    let column = (name.clone(), column.clone());
                    reasons
                        .entry(column)
                        .or_default()
                        .insert(label.clone(), why);
                } else if reported.insert(*place) {
                    unexplained.push(Nondeterminism {
                        table: name.clone(),
                        what: differing(column, &rows[0].values),
                    });
                }
            }
        }
        mask.reasons = reasons;
        if unexplained.is_empty() {
            Ok(mask)
        } else {
            Err(unexplained)
        }
    }
}

fn known(base: &Snapshot, domain: &Domain) -> BTreeSet<String> {
    let Some(table) = base.tables.get(&domain.table) else {
        return BTreeSet::new();
    };
    changes::identifiers(table, &domain.column, table.rows.iter().map(Vec::as_slice))
}

fn known_uuids(clean: &[Snapshot], base: &Snapshot) -> BTreeSet<[u8; 16]> {
    let values = base
        .tables
        .values()
        .flat_map(|table| table.rows.iter().flatten());
    let mut known: BTreeSet<_> = values.filter_map(token::uuid).collect();
    let of_run = |run: &Snapshot| {
        let mut uuids = BTreeSet::new();
        for name in run.tables.keys() {
            let added = Changes::of(name, base, run).added;
            let parts = added.into_iter().flatten().flat_map(token::parts);
            uuids.extend(parts.filter_map(|part| match part.token {
                Token::Uuid(uuid) => Some(uuid),
                _ => None,
            }));
        }
        uuids
    };
    let in_each = clean.iter().map(of_run).reduce(|one, other| &one & &other);
    known.extend(in_each.unwrap_or_default());
    known
}

fn differing(column: &str, values: &[&Value]) -> Unexplained {
    let other = values.iter().find(|value| **value != values[0]);
    Unexplained::Column(
        column.to_owned(),
        values[0].clone(),
        (*other.unwrap_or(&values[0])).clone(),
    )
}

/// Where the rows of a table differ from run to run.
fn places<'a>(
    name: &str,
    clean: &'a [Snapshot],
    base: &'a Snapshot,
) -> Result<Places<'a>, Vec<Unexplained>> {
    let tables: Vec<_> = clean.iter().map(|run| run.tables.get(name)).collect();
    let Some(table) = tables[0].filter(|first| {
        tables
            .iter()
            .all(|table| table.is_some_and(|table| table.columns == first.columns))
    }) else {
        return Err(vec![Unexplained::Schema]);
    };
    let changes: Vec<_> = clean
        .iter()
        .map(|run| Changes::of(name, base, run))
        .collect();
    if changes.iter().any(|one| one.removed != changes[0].removed) {
        return Err(vec![Unexplained::Removed]);
    }
    let mut runs: Vec<_> = changes.into_iter().map(|one| one.added).collect();
    if let Some(other) = runs.iter().find(|rows| rows.len() != runs[0].len()) {
        return Err(vec![Unexplained::Added(runs[0].len(), other.len())]);
    }
    align(table, &mut runs);
    let mut places = Places::new();
    let mut unexplained = BTreeMap::new();
    for row in 0..runs[0].len() {
        for (place, column) in table.columns.iter().enumerate() {
            let values: Vec<_> = runs.iter().map(|rows| &rows[row][place]).collect();
            if values.iter().all(|value| *value == values[0]) {
                continue;
            }
            if compare_parts(place, &values, &mut places).is_none() {
                unexplained
                    .entry(place)
                    .or_insert_with(|| differing(&column.name, &values));
            }
        }
    }
    if unexplained.is_empty() {
        Ok(places)
    } else {
        Err(unexplained.into_values().collect())
    }
}

/// Notes which parts of a value differ; `None` if parts differ that can't have a good reason.
fn compare_parts<'a>(place: usize, values: &[&'a Value], places: &mut Places<'a>) -> Option<()> {
    let parts: Vec<_> = values.iter().map(|value| token::parts(value)).collect();
    let same_kind =
        |value: &&&Value| std::mem::discriminant(**value) == std::mem::discriminant(values[0]);
    if parts.iter().any(|one| one.len() != parts[0].len())
        || !values.iter().all(|value| same_kind(&value))
    {
        return None;
    }
    for (number, first) in parts[0].iter().enumerate() {
        let tokens: Vec<_> = parts.iter().map(|one| one[number].token.clone()).collect();
        if tokens.iter().all(|token| *token == first.token) {
            continue;
        }
        let same_kind =
            |token: &Token| std::mem::discriminant(token) == std::mem::discriminant(&first.token);
        let fixed = matches!(first.token, Token::Literal(_) | Token::Null);
        if fixed || !tokens.iter().all(same_kind) {
            return None;
        }
        let values = values.to_vec();
        places
            .entry((place, first.label.clone()))
            .or_default()
            .push(Varying { tokens, values });
    }
    Some(())
}

struct Explainer<'a> {
    clean: &'a [Snapshot],
    domains: &'a [Domain],
    /// Of each domain and run, the numbers that the run added.
    added: Vec<Vec<BTreeSet<String>>>,
}

impl<'a> Explainer<'a> {
    fn new(mask: &'a Mask, clean: &'a [Snapshot]) -> Self {
        let of_run = |domain: &Domain, known: &BTreeSet<String>, run: &Snapshot| {
            let table = &run.tables[&domain.table];
            let added = Changes::of(&domain.table, &mask.base, run).added;
            let all = changes::identifiers(table, &domain.column, added);
            all.difference(known).cloned().collect()
        };
        let domains = mask.domains.iter().zip(&mask.known);
        let added = domains.map(|(domain, known)| {
            let runs = clean.iter();
            runs.map(|run| of_run(domain, known, run)).collect()
        });
        Self {
            clean,
            domains: &mask.domains,
            added: added.collect(),
        }
    }

    fn explain(
        &self,
        name: &str,
        table: &Table,
        place: usize,
        label: &str,
        rows: &[Varying<'_>],
    ) -> Option<MaskReason> {
        let all = |is: fn(&Token) -> bool| rows.iter().all(|row| row.tokens.iter().all(is));
        if all(|token| matches!(token, Token::Uuid(_))) {
            return Some(MaskReason::Uuid);
        }
        if all(|token| matches!(token, Token::Trace(_))) {
            return Some(MaskReason::Trace);
        }
        if self.is_time(rows) {
            return Some(MaskReason::Time);
        }
        if !all(|token| matches!(token, Token::Number(_))) {
            return None;
        }
        if label.is_empty() {
            if table.columns[place].volatility == Volatility::Transaction {
                return Some(MaskReason::Transaction);
            }
            let tables = &self.clean[0].tables;
            if let Some(domain) = changes::domain_of(tables, self.domains, name, place) {
                return Some(MaskReason::Identity(domain));
            }
        }
        self.refers(rows).map(MaskReason::Identity)
    }

    fn is_time(&self, rows: &[Varying<'_>]) -> bool {
        rows.iter().all(|row| {
            let timestamps: Option<Vec<_>> = row.tokens.iter().map(timestamp).collect();
            timestamps.is_some_and(|timestamps| {
                let runs = timestamps.iter().zip(self.clean);
                runs.skip(1).all(|(other, run)| {
                    timestamps[0].moves_with_clock(self.clean[0].window, other, run.window)
                })
            })
        })
    }

    /// The domain that all these numbers belong to, although no foreign key says so. Numbers that
    /// would be equal by chance are kept apart by moving sequences on.
    fn refers(&self, rows: &[Varying<'_>]) -> Option<usize> {
        let rank = |set: &BTreeSet<String>, number: &str| {
            let mut all: Vec<_> = set.iter().map(|one| (one.len(), one)).collect();
            all.sort_unstable();
            all.iter().position(|(_, one)| *one == number)
        };
        (0..self.domains.len()).find(|domain| {
            rows.iter().all(|row| {
                let ranks = row
                    .tokens
                    .iter()
                    .zip(&self.added[*domain])
                    .map(|(token, added)| {
                        let Token::Number(number) = token else {
                            return None;
                        };
                        rank(added, changes::identifier(number))
                    });
                let ranks: Option<BTreeSet<_>> = ranks.collect();
                ranks.is_some_and(|ranks| ranks.len() == 1)
            })
        })
    }
}

fn timestamp(token: &Token) -> Option<Timestamp> {
    match token {
        Token::Time(timestamp) => Some(timestamp.clone()),
        Token::Number(number) => Timestamp::from_number(number),
        _ => None,
    }
}
