use std::time::Duration;

use idem_runtime::Delivery;

async fn settle<D: Delivery>(delivery: D) {
    let _ = delivery.ack().await;
    let _ = delivery.give_back(Duration::ZERO).await;
}

fn main() {
    let _ = settle::<idem_testing::TestDelivery>;
}
