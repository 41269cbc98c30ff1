use idem_tests::ui::*;

#[derive(Key)]
struct OrderId {
    number: Option<u64>,
}

fn main() {}
