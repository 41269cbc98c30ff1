#![deny(warnings)]
#![no_implicit_prelude]
#![allow(dead_code, non_camel_case_types, non_snake_case)]

use ::idem_tests::ui::{
    AppError, Outbox, Payment, PgConnection, Receipt, Settled, idempotent, outbox,
};

struct Option;
struct Result<T, E>(T, E);
struct String;
struct Vec;
struct Some;
struct str;
struct usize;
fn None() {}
fn Ok() {}
fn Err() {}
mod core {}
mod std {}
mod idem_runtime {}
mod inventory {}

type Returned = ::core::result::Result<Receipt, AppError>;
type ReturnedResult = Returned;

#[idempotent(key = "event.id", on_error = "rollback", handler = Apply)]
async fn apply(tx: &mut PgConnection, event: &Payment) -> ReturnedResult {
    let _ = tx;
    ::core::result::Result::Ok(Receipt {
        account: event.account,
    })
}

#[idempotent(key = "event.id", retry = 2)]
#[outbox]
async fn settle(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Settled>,
    event: Payment,
) -> ::core::result::Result<(), AppError> {
    let _ = tx;
    outbox.emit(&Settled {
        account: event.account,
    });
    ::core::result::Result::Ok(())
}

#[outbox(topic = "payments.settled", key = "event.account")]
async fn publish(
    tx: &mut PgConnection,
    event: &Payment,
) -> ::core::result::Result<Settled, AppError> {
    let _ = tx;
    ::core::result::Result::Ok(Settled {
        account: event.account,
    })
}

fn main() {}
