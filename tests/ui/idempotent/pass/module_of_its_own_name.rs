#![deny(warnings)]

mod apply {
    use idem_tests::ui::*;

    #[idempotent(key = "event.id", handler = Apply)]
    pub async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
        sqlx::query("SELECT 1").execute(tx).await?;
        Ok(Receipt {
            account: event.account,
        })
    }
}

pub use apply::{Apply, apply};

fn main() {
    use idem_runtime::Handler as _;
    assert_eq!(Apply::SCOPE, concat!(module_path!(), "::apply::apply"));
    let _ = |pool: sqlx::PgPool, event: idem_tests::ui::Payment| {
        drop(async move { apply(&pool, &event).await })
    };
}
