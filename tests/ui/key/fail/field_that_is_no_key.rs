use idem_tests::ui::*;

#[derive(Key)]
struct Rate(f64);

fn main() {}
