use idem_tests::ui::*;

#[idempotent(key = "event.id")]
mod ledger {}

fn main() {}
