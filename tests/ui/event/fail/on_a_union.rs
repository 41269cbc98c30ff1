use idem_tests::ui::*;

#[derive(Event)]
#[event(topic = "orders.placed")]
union Placed {
    order: u64,
}

fn main() {}
