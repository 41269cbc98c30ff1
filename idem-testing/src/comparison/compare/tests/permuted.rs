//! Numbers that are exchanged one for one are never a difference; those that are not always are
//! one.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::{ORDERS, compare, mask_of};
use crate::comparison::fixture::run_at;
use crate::comparison::snapshot::{Snapshot, Value};

/// Which order each line is of. Each order has a note of its own, so that no two can be exchanged.
fn shop(second: u64, orders: &[i64], lines: &[usize], ids: &[i64]) -> Snapshot {
    let named =
        |(place, id): (usize, &i64)| vec![(*id).into(), format!("order {}", name(place)).into()];
    let line = |(id, of): (&i64, &usize)| -> Vec<Value> {
        vec![(*id).into(), orders[*of].into(), "x".into()]
    };
    run_at(second)
        .with("orders", ORDERS, orders.iter().enumerate().map(named))
        .with("lines", super::LINES, ids.iter().zip(lines).map(line))
}

/// Letters, as numbers would be looked for among the identifiers.
fn name(place: usize) -> char {
    char::from(b'a' + u8::try_from(place).unwrap())
}

#[test]
fn consistently_never_and_inconsistently_always() {
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..300 {
        let count = random.random_range(2..9_usize);
        let lines: Vec<usize> = (0..random.random_range(1..12))
            .map(|_| random.random_range(0..count))
            .collect();
        let ids = |from: i64, count: usize| -> Vec<i64> { (from..).take(count).collect() };
        let run = |second, first: i64| {
            shop(
                second,
                &ids(first, count),
                &lines,
                &ids(first * 50 + 7, lines.len()),
            )
        };
        let mask = mask_of(run, &run_at(0));
        let clean = run(1, 1);

        let mut orders: Vec<i64> = ids(1, 40);
        orders.shuffle(&mut random);
        let mut numbers: Vec<i64> = ids(1, 40);
        numbers.shuffle(&mut random);
        let permuted = shop(9, &orders[..count], &lines, &numbers[..lines.len()]);
        assert!(
            compare(&clean, &permuted, &mask).is_empty(),
            "round {round}"
        );

        let mut moved = lines.clone();
        let line = random.random_range(0..moved.len());
        moved[line] = (moved[line] + random.random_range(1..count)) % count;
        let found = shop(9, &orders[..count], &moved, &numbers[..lines.len()]);
        assert!(!compare(&clean, &found, &mask).is_empty(), "round {round}");
    }
}
