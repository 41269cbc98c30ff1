use idem_tests::ui::*;

#[idempotent(key = "event.id")]
async fn main() {
    println!("no message in sight");
}
