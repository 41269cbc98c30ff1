use idem_tests::ui::*;

#[derive(Key)]
union OrderId {
    number: u64,
}

fn main() {}
