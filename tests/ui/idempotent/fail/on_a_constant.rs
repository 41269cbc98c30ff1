use idem_tests::ui::*;

#[idempotent(key = "event.id")]
const FEE: i64 = 1;

fn main() {}
