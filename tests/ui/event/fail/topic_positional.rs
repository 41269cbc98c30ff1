use idem_tests::ui::*;

#[derive(Serialize, Event)]
#[event("orders.placed")]
struct Placed {
    order: u64,
    total: f64,
}

fn main() {}
