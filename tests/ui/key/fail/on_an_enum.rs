use idem_tests::ui::*;

#[derive(Key)]
enum OrderId {
    Uuid(Uuid),
    Number(u64),
}

fn main() {}
