//! The work on SQLite.

use super::work::{sums, work};

work!(sqlx::Sqlite, sqlx::SqliteConnection, crate::sqlite);

async fn effects(tx: &mut Connection, payments: &[&Payment]) -> Result<(), sqlx::Error> {
    let (accounts, amounts) = sums(payments);
    let mut sql = sqlx::QueryBuilder::new("INSERT INTO accounts (id, balance) ");
    sql.push_values(
        accounts.into_iter().zip(amounts),
        |mut row, (account, amount)| {
            row.push_bind(account).push_bind(amount);
        },
    );
    sql.push(" ON CONFLICT (id) DO UPDATE SET balance = balance + excluded.balance");
    sql.build().execute(tx).await.map(drop)
}
