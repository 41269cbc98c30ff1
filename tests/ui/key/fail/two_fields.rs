use idem_tests::ui::*;

#[derive(Key)]
struct OrderId {
    tenant: u32,
    number: u64,
}

fn main() {}
