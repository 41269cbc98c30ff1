use idem_tests::ui::*;

#[idempotent(key = "event.id")]
pub trait Ledger {
    fn fee(&self) -> i64;
}

fn main() {}
