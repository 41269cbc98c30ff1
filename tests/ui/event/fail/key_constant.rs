use idem_tests::ui::*;

#[derive(Serialize, Event)]
#[event(topic = "orders.placed", key = "42")]
struct Placed {
    order: u64,
    total: f64,
}

fn main() {}
