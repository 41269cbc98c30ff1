//! The work on MariaDB.

use super::work::{sums, work};

work!(sqlx::MySql, sqlx::MySqlConnection, crate::mariadb);

/// Takes the rows in the order of the values.
async fn effects(tx: &mut Connection, payments: &[&Payment]) -> Result<(), sqlx::Error> {
    let (accounts, amounts) = sums(payments);
    let mut sql = sqlx::QueryBuilder::new("INSERT INTO accounts (id, balance) ");
    sql.push_values(
        accounts.into_iter().zip(amounts),
        |mut row, (account, amount)| {
            row.push_bind(account).push_bind(amount);
        },
    );
    sql.push(" ON DUPLICATE KEY UPDATE balance = balance + VALUES(balance)");
    sql.build().execute(tx).await.map(drop)
}
