use idem_runtime::{Consumer, Source};
use idem_tests::ui::*;

struct Apply;

async fn consume<S: Source>(source: S, pool: PgPool) {
    let consumer = Consumer::new("ledger", source).on::<Apply>();
    let _ = consumer.run(&pool, std::future::pending()).await;
}

fn main() {
    let _ = consume::<idem_testing::TestSource>;
}

