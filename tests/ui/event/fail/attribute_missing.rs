use idem_tests::ui::*;

#[derive(Serialize, Event)]
struct Placed {
    order: u64,
    total: f64,
}

fn main() {}
