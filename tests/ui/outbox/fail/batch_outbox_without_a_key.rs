use idem_tests::ui::*;

#[outbox]
async fn apply_all(tx: &mut PgConnection, outbox: &mut BatchOutbox<Settled>, events: &[&Payment]) -> Result<(), AppError> {
    sqlx::query("SELECT 1").execute(&mut *tx).await?;
    outbox.of(0).emit(&Settled { account: events[0].account });
    Ok(())
}

fn main() {}
