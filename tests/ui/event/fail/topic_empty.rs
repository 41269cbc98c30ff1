use idem_tests::ui::*;

#[derive(Serialize, Event)]
#[event(topic = "")]
struct Placed {
    order: u64,
    total: f64,
}

fn main() {}
