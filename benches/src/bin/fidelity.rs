//! What it costs to check that a duplicate would get a result back.
//!
//! Prints the time of a call in microseconds: to serialize the result alone, and to serialize it,
//! read it back and compare. The runtime does the latter once for each first delivery.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use idem_runtime::__private::{equality, written};
use serde::{Deserialize, Serialize};

/// 73 bytes of JSON.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    id: u64,
    account: String,
    cents: i64,
    note: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Statement {
    receipts: Vec<Receipt>,
}

macro_rules! measure {
    ($name:literal, $type:ty, $value:expr) => {{
        let value: $type = $value;
        let equal = equality::<$type>().find();
        let json = written(&value, equal).expect("it is read back as it was");
        let serialized = least(|| serde_json::to_vec(black_box(&value)).map(|json| json.len()));
        let shape = least(|| written(black_box(&value), None).map(|json| json.len()));
        let whole = least(|| written(black_box(&value), equal).map(|json| json.len()));
        let bytes = json.len();
        println!(
            "{:22} {bytes:>6} {serialized:>11.3} {shape:>12.3} {whole:>12.3}",
            $name
        );
    }};
}

fn main() {
    println!("                                serialized      checked     checked");
    println!("result                  bytes        alone   without ==     with ==");
    measure!("i64", i64, 1_250_000);
    measure!("a receipt", Receipt, receipt(7));
    measure!(
        "a statement",
        Statement,
        Statement {
            receipts: (0..120).map(receipt).collect()
        }
    );
    measure!(
        "a map of 400 entries",
        HashMap<String, u32>,
        (0..400).map(|n| (format!("account-{n}"), n)).collect()
    );
}

fn receipt(number: u64) -> Receipt {
    Receipt {
        id: 4_711_000 + number,
        account: "DE0212030000000020205".into(),
        cents: 1_250,
        note: None,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within its bounds"
)]
/// Microseconds of one call: the least of many short rounds, since other processes only add.
fn least<T>(mut call: impl FnMut() -> T) -> f64 {
    let mut round = |calls: u32| {
        let start = Instant::now();
        for _ in 0..calls {
            black_box(call());
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
    };
    let warm_up = round(1_000);
    // A round takes about a fifth of a millisecond.
    let calls = (200.0 / warm_up).clamp(4.0, 10_000.0) as u32;
    (0..500).map(|_| round(calls)).fold(f64::INFINITY, f64::min)
}
