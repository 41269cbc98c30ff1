use idem_tests::ui::*;

#[derive(Key)]
struct OrderId;

fn main() {}
