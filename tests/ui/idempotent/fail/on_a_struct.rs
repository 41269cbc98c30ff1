use idem_tests::ui::*;

#[idempotent(key = "event.id")]
struct Apply {
    fee: i64,
}

fn main() {}
