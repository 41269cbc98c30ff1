use idem_tests::ui::*;

#[outbox(topic = "payments.settled")]
struct Apply;

fn main() {}
