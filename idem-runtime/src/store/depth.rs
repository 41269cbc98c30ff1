//! How many transactions sqlx counts on a connection.

use sqlx::Database;
use sqlx_core::transaction::TransactionManager as _;

/// What sqlx has counted so far. On SQLite a transaction that was dropped may still be in it.
#[expect(
    clippy::disallowed_methods,
    reason = "`Store::depth` builds on it, and is what everything else asks"
)]
pub(super) fn counted<DB: Database>(conn: &DB::Connection) -> usize {
    DB::TransactionManager::get_transaction_depth(conn)
}
