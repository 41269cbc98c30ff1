#![deny(warnings)]
use idem_tests::ui::*;

#[derive(Key)]
struct OrderId(Uuid);

#[derive(Key)]
struct Tenant<'a> {
    name: &'a str,
}

#[derive(Key)]
struct Scoped<T>(T)
where
    T: Clone;

fn main() {
    assert_eq!(
        (OrderId::name(), Tenant::name(), Scoped::<u32>::name()),
        ("Uuid".into(), "String".into(), "u32".into())
    );
    assert_eq!(
        idem_runtime::OrderingKey::of(&Tenant { name: "a" }),
        idem_runtime::OrderingKey::of(&Scoped("a".to_owned())),
    );
    let _ = idem_runtime::OrderingKey::of(&OrderId(Uuid::nil()));
}
