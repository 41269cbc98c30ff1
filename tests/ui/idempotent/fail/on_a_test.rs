use idem_tests::ui::*;

#[idempotent(key = "event.id")]
#[test]
fn applies() {
    assert_eq!(1 + 1, 2);
}

fn main() {}
