use idem_tests::ui::*;

#[derive(Event)]
#[event(topic = "orders.placed")]
struct Placed {
    order: u64,
    total: f64,
}

fn main() {}
