#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    single_use_lifetimes,
    unused_lifetimes
)]
#![deny(
    unused_qualifications,
    unused_results,
    let_underscore_drop,
    variant_size_differences,
    elided_lifetimes_in_paths
)]
//! The registration of a contract is no unsafe code of the user's.

use idem_tests::ui::{
    AppError, Outbox, Payment, PgConnection, Receipt, Settled, idempotent, outbox,
};

/// Applies.
///
/// # Errors
/// The database's.
#[idempotent(key = "event.id", handler = Apply)]
#[outbox]
pub async fn apply(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Settled>,
    event: &Payment,
) -> Result<Receipt, AppError> {
    let _done = sqlx::query("SELECT 1").execute(tx).await?;
    let _id = outbox.emit(&Settled {
        account: event.account,
    });
    Ok(Receipt {
        account: event.account,
    })
}

fn main() {}
