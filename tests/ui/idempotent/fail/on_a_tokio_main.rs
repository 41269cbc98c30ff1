use idem_tests::ui::*;

#[idempotent(key = "event.id")]
#[tokio::main]
async fn main() {
    println!("no message in sight");
}
