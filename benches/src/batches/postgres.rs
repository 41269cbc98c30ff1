//! The work on PostgreSQL.

use super::work::{sums, work};

work!(sqlx::Postgres, sqlx::PgConnection, crate::postgres);

/// Locks the rows in one order: an UPDATE that joins takes them in any.
pub(super) async fn effects(tx: &mut Connection, payments: &[&Payment]) -> Result<(), sqlx::Error> {
    let (accounts, amounts) = sums(payments);
    let sql = "WITH locked AS MATERIALIZED ( \
            SELECT id FROM accounts WHERE id = ANY ($1) ORDER BY id FOR UPDATE) \
        UPDATE accounts SET balance = balance + moved.amount \
        FROM unnest($1::bigint[], $2::bigint[]) AS moved (account, amount), (SELECT count(*) FROM locked) AS all_locked \
        WHERE accounts.id = moved.account";
    sqlx::query(sql)
        .bind(accounts)
        .bind(amounts)
        .execute(tx)
        .await
        .map(drop)
}
