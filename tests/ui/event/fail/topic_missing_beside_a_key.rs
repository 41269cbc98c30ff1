use idem_tests::ui::*;

#[derive(Serialize, Event)]
#[event(key = "order")]
struct Placed {
    order: u64,
    total: f64,
}

fn main() {}
