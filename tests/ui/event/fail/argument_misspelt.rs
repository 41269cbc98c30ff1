use idem_tests::ui::*;

#[derive(Serialize, Event)]
#[event(topc = "orders.placed")]
struct Placed {
    order: u64,
    total: f64,
}

fn main() {}
