#![deny(warnings)]
use idem_tests::ui::*;

#[derive(Serialize, Deserialize, Event)]
#[event(topic = "orders.placed", key = "(tenant, order.id)", type = "Placed")]
struct OrderPlaced {
    tenant: String,
    order: Order,
}

#[derive(Serialize, Deserialize)]
struct Order {
    id: Uuid,
}

#[derive(Serialize, Event)]
#[event(topic = "orders.noted", key = "self.0")]
struct Noted(u64);

#[derive(Serialize, Event)]
#[event(topic = "orders.changed", key = "self.id()")]
enum Changed {
    Paid { id: u64 },
    Shipped(u64),
}

impl Changed {
    fn id(&self) -> u64 {
        match self {
            Self::Paid { id } | Self::Shipped(id) => *id,
        }
    }
}

#[derive(Serialize, Event)]
#[event(topic = "orders.enveloped", key = format!("order-{}", number))]
struct Envelope<'a, T: Clone> {
    number: u64,
    data: &'a T,
}

fn main() {
    let order = Order { id: Uuid::nil() };
    let placed = OrderPlaced {
        tenant: "t".to_owned(),
        order,
    };
    assert_eq!(
        (OrderPlaced::TOPIC, OrderPlaced::TYPE),
        ("orders.placed", "Placed")
    );
    assert!(placed.ordering_key().is_some());
    assert_eq!(
        (Noted::TYPE, Noted(1).ordering_key().is_some()),
        ("Noted", true)
    );
    assert_eq!(
        Changed::Paid { id: 7 }.ordering_key(),
        Changed::Shipped(7).ordering_key()
    );
    assert!(
        Envelope {
            number: 1,
            data: &2
        }
        .ordering_key()
        .is_some()
    );
}
