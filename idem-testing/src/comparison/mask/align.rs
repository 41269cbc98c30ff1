//! Which row of one run is which of another.

use crate::comparison::changes::identifier;
use crate::comparison::snapshot::{Table, Value, Volatility};
use crate::comparison::token;
use crate::comparison::token::{Part, Token};

/// Sorts the rows of each run so that equal places hold the same row: by what is equal in all runs,
/// then by the fixed parts of what is not, then in the order in which the database numbered them.
pub(super) fn align(table: &Table, runs: &mut [Vec<&[Value]>]) {
    let mut places: Vec<usize> = (0..table.columns.len()).collect();
    let stable: Vec<bool> = places.iter().map(|place| is_stable(*place, runs)).collect();
    places.sort_by_key(|place| table.columns[*place].volatility != Volatility::Generated);
    for rows in runs {
        rows.sort_by_cached_key(|row| {
            let (fixed, moving): (Vec<_>, Vec<_>) = places
                .iter()
                .map(|place| {
                    if stable[*place] {
                        (Some(row[*place].clone()), vec![])
                    } else {
                        (None, token::parts(&row[*place]))
                    }
                })
                .unzip();
            let skeleton: Vec<_> = moving.iter().flatten().map(skeleton).collect();
            let numbers: Vec<_> = moving.iter().flatten().filter_map(order).collect();
            (fixed, skeleton, numbers)
        });
    }
}

/// Whether a column holds the same values in each run, as often.
fn is_stable(place: usize, runs: &[Vec<&[Value]>]) -> bool {
    let mut columns = runs.iter().map(|rows| {
        let mut column: Vec<_> = rows.iter().map(|row| &row[place]).collect();
        column.sort_unstable();
        column
    });
    let first = columns.next();
    columns.all(|column| Some(column) == first)
}

fn skeleton(part: &Part) -> Vec<u8> {
    match &part.token {
        Token::Null => b"0".to_vec(),
        Token::Number(_) => b"1".to_vec(),
        Token::Uuid(_) => b"2".to_vec(),
        Token::Time(_) => b"3".to_vec(),
        Token::Trace(_) => b"4".to_vec(),
        Token::Literal(literal) => [b"5", literal.as_slice()].concat(),
    }
}

/// Numbers by size. A UUID says nothing about the order.
fn order(part: &Part) -> Option<(usize, String)> {
    match &part.token {
        Token::Number(number) => {
            let number = identifier(number);
            let whole = number.find('.').unwrap_or(number.len());
            Some((whole, number.to_owned()))
        }
        Token::Time(timestamp) => Some((0, timestamp.text.clone())),
        _ => None,
    }
}
