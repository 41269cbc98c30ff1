//! What each part of a value stands for: itself, anything at all, or an identifier.

use std::collections::{BTreeMap, BTreeSet};

use super::table_pair::TablePair;
use crate::comparison::changes;
use crate::comparison::changes::Changes;
use crate::comparison::mask::Mask;
use crate::comparison::mask::MaskReason;
use crate::comparison::snapshot::{Snapshot, Value, Volatility, Window};
use crate::comparison::timestamp::Timestamp;
use crate::comparison::token;
use crate::comparison::token::{Part, Token};

/// What a part of a value stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Symbol {
    /// Itself, down to whether it is text.
    Literal(Token),
    /// Anything of its kind.
    Any(MaskReason),
    /// An identifier that the run made up, by domain.
    Identifier(Option<usize>, String),
}

/// What is known of both sides together.
pub(super) struct Symbols<'a> {
    mask: &'a Mask,
    /// Places of values that no clean run showed to differ, as its clock did not tick in between.
    ticked: BTreeSet<Place<'a>>,
    /// The times that the expected side has in each masked place: the found ones must be as the
    /// clock moves them.
    expected_times: BTreeMap<Place<'a>, Vec<Timestamp>>,
    windows: [Window; 2],
    /// Of each domain, the identifiers that rows of the run have.
    added: [Vec<BTreeSet<String>>; 2],
}

/// The same for one side.
pub(super) struct Side<'a> {
    symbols: &'a Symbols<'a>,
    side: usize,
}

impl<'a> Symbols<'a> {
    pub(super) fn new(
        tables: &[TablePair<'a>],
        expected: &'a Snapshot,
        found: &'a Snapshot,
        mask: &'a Mask,
    ) -> Self {
        let added = [(expected, 0), (found, 1)].map(|(snapshot, side)| {
            let domains = mask.domains.iter();
            domains
                .map(|domain| {
                    let pair = tables.iter().find(|pair| *pair.name == domain.table);
                    let rows = pair.map_or(&[][..], |pair| &changes(pair, side).added);
                    snapshot
                        .tables
                        .get(&domain.table)
                        .map_or_else(BTreeSet::new, |table| {
                            changes::identifiers(table, &domain.column, rows.iter().copied())
                        })
                })
                .collect()
        });
        Self {
            mask,
            ticked: ticked(tables, expected, found, mask),
            expected_times: masked_times(tables, expected, mask),
            windows: [expected.window, found.window],
            added,
        }
    }

    pub(super) fn expected(&'a self) -> Side<'a> {
        Side {
            symbols: self,
            side: 0,
        }
    }

    pub(super) fn found(&'a self) -> Side<'a> {
        Side {
            symbols: self,
            side: 1,
        }
    }
}

impl Side<'_> {
    pub(super) fn of(&self, table: &str, column: (usize, &str), value: &Value) -> Vec<Symbol> {
        let symbol = |part: Part| self.symbol(table, column, part);
        token::parts(value).into_iter().map(symbol).collect()
    }

    fn symbol(&self, table: &str, (place, column): (usize, &str), part: Part) -> Symbol {
        let Part { label, token } = part;
        let Symbols { mask, .. } = self.symbols;
        match (mask.why(table, column, &label), &token) {
            (Some(MaskReason::Uuid), Token::Uuid(uuid)) if !mask.known_uuids.contains(uuid) => {
                Symbol::Identifier(None, hex::encode(uuid))
            }
            (Some(MaskReason::Identity(domain)), Token::Number(number)) => {
                let number = changes::identifier(number);
                let is_new = self.symbols.added[self.side][domain].contains(number)
                    && !mask.known[domain].contains(number);
                if is_new {
                    Symbol::Identifier(Some(domain), number.to_owned())
                } else {
                    Symbol::Literal(token)
                }
            }
            (Some(why @ MaskReason::Time), Token::Time(_) | Token::Number(_))
                if self.is_by_clock(&(table, place, label.clone()), &token) =>
            {
                Symbol::Any(why)
            }
            (Some(why @ MaskReason::Transaction), Token::Number(_))
            | (Some(why @ MaskReason::Trace), Token::Trace(_)) => Symbol::Any(why),
            (None, Token::Time(_) | Token::Number(_))
                if self.symbols.ticked.iter().any(|ticked| {
                    (ticked.0, ticked.1, ticked.2.as_str()) == (table, place, &label)
                }) =>
            {
                Symbol::Any(MaskReason::Time)
            }
            _ => Symbol::Literal(token),
        }
    }
}

impl Side<'_> {
    /// Whether a masked time is one of the expected ones, moved on as the clock does. A time that
    /// was extended twice is not.
    fn is_by_clock(&self, place: &(&str, usize, String), token: &Token) -> bool {
        let Symbols {
            expected_times,
            windows: [own, others],
            ..
        } = self.symbols;
        let times = expected_times.get(place);
        let (1, Some(times)) = (self.side, times) else {
            return true;
        };
        timestamp(token).is_some_and(|found| {
            let mut times = times.iter();
            times.any(|expected| expected.moves_with_clock(*own, &found, *others))
        })
    }
}

fn changes<'p, 'a>(pair: &'p TablePair<'a>, side: usize) -> &'p Changes<'a> {
    if side == 0 {
        &pair.expected
    } else {
        &pair.found
    }
}

/// A table, a column, and what stands before the value in it.
type Place<'a> = (&'a str, usize, String);

fn timestamp(token: &Token) -> Option<Timestamp> {
    match token {
        Token::Time(timestamp) => Some(timestamp.clone()),
        Token::Number(number) => Timestamp::from_number(number),
        _ => None,
    }
}

/// The times of the expected side in places where times are masked.
fn masked_times<'a>(
    tables: &[TablePair<'a>],
    expected: &Snapshot,
    mask: &Mask,
) -> BTreeMap<Place<'a>, Vec<Timestamp>> {
    let mut times = BTreeMap::<_, Vec<_>>::new();
    for pair in tables {
        let columns = expected.tables[pair.name].columns.iter().enumerate();
        let masked: Vec<_> = columns
            .filter(|(_, column)| mask.hides(pair.name, &column.name))
            .collect();
        for row in &pair.expected.added {
            for (place, column) in &masked {
                for Part { label, token } in token::parts(&row[*place]) {
                    if mask.why(pair.name, &column.name, &label) == Some(MaskReason::Time) {
                        let place = (pair.name.as_str(), *place, label);
                        times.entry(place).or_default().extend(timestamp(&token));
                    }
                }
            }
        }
    }
    times
}

/// Times by place, in order.
type Times<'a> = BTreeMap<Place<'a>, Vec<(String, Option<Timestamp>)>>;

/// Places where all times of one side are those of the other by the clock. Times that are written
/// in whole seconds are equal in clean runs of the same second.
fn ticked<'a>(
    tables: &[TablePair<'a>],
    expected: &Snapshot,
    found: &Snapshot,
    mask: &Mask,
) -> BTreeSet<Place<'a>> {
    let (own, others) = (expected.window, found.window);
    let all = times(tables, 0, expected, mask);
    let mut found_times = times(tables, 1, found, mask);
    all.into_iter()
        .filter(|(place, one)| {
            let other = found_times.remove(place).unwrap_or_default();
            one.len() == other.len()
                && one != &other
                && one.iter().zip(&other).all(|(one, other)| {
                    one.0 == other.0 || is_tick((&one.1, own), (&other.1, others))
                })
        })
        .map(|(place, _)| place)
        .collect()
}

fn is_tick(
    (one, own): (&Option<Timestamp>, Window),
    (other, others): (&Option<Timestamp>, Window),
) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    one.moves_with_clock(own, other, others)
        && (!one.is_date() || (one.is_within(own) && other.is_within(others)))
}

fn times<'a>(tables: &[TablePair<'a>], side: usize, snapshot: &Snapshot, mask: &Mask) -> Times<'a> {
    let mut times = Times::new();
    for pair in tables {
        let table = &snapshot.tables[pair.name];
        for row in &changes(pair, side).added {
            for (place, column) in table.columns.iter().enumerate() {
                for part in token::parts(&row[place]) {
                    let entry = match part.token {
                        Token::Time(timestamp) => (timestamp.text.clone(), Some(timestamp)),
                        Token::Number(number) => {
                            let timestamp = Timestamp::from_number(&number);
                            // Any number may be near another one; few are what the clock says.
                            let is_now = |one: &Timestamp| {
                                column.volatility == Volatility::Time
                                    || one.is_within(snapshot.window)
                            };
                            (number, timestamp.filter(is_now))
                        }
                        _ => continue,
                    };
                    if mask.why(pair.name, &column.name, &part.label).is_none() {
                        times
                            .entry((pair.name, place, part.label))
                            .or_default()
                            .push(entry);
                    }
                }
            }
        }
    }
    for entries in times.values_mut() {
        entries.sort_by(|one, other| (one.0.len(), &one.0).cmp(&(other.0.len(), &other.0)));
    }
    times
}
