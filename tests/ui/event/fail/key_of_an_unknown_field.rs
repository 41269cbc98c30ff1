use idem_tests::ui::*;

#[derive(Serialize, Event)]
#[event(topic = "orders.placed", key = "oder")]
struct Placed {
    order: u64,
    total: f64,
}

fn main() {}
