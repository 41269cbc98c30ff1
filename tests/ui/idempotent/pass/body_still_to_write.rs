#![deny(warnings)]
#![allow(unused_variables, reason = "a plain function would warn of them, too")]
use idem_tests::ui::*;

#[idempotent(key = "event.id")]
pub async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    todo!()
}

#[idempotent(key = "event.id", retry = 3)]
pub async fn retried(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    unimplemented!()
}

#[idempotent(key = "event.id")]
#[outbox(topic = "receipts")]
pub async fn emit(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
    todo!("{}", event.id)
}

#[outbox]
pub async fn alone(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Settled>,
    event: &Payment,
) -> Result<Receipt, AppError> {
    panic!()
}

fn main() {}
