//! Whether every transaction on a database has ended. Rollbacks and closes go out behind the call
//! that queues them, so each of these waits for the end, with a deadline.

use std::time::Duration;

use sqlx::{
    Connection as _, Executor as _, MySqlConnection, PgPool, Row as _, SqlitePool, raw_sql,
};
use tokio::time::Instant;

const WITHIN: Duration = Duration::from_secs(10);
/// Asking without a pause would take the processor from those who are to end.
const POLL_EVERY: Duration = Duration::from_millis(2);

/// Waits until no session of this PostgreSQL database has a transaction open.
///
/// # Panics
///
/// When one is still open after ten seconds; the message shows its last statement.
pub async fn postgres(pool: &PgPool) {
    let deadline = Instant::now() + WITHIN;
    loop {
        // Not prepared: behind PgBouncer the session that is asked may not be the one that prepared it.
        let open: Vec<String> = raw_sql(
            "SELECT pid || ' ' || state || ': ' || query FROM pg_stat_activity \
             WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()",
        )
        .fetch_all(pool)
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
        if open.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "open transactions: {open:?}");
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// Takes the tables `idem_keys` and `effects` of this MariaDB database for itself: whoever has a
/// transaction open that touched them holds a lock against that, and the server waits for its end.
/// (`information_schema.innodb_trx` shows a cached answer to those who ask often.)
///
/// # Panics
///
/// When one is still open after ten seconds.
pub async fn mariadb(url: &str) {
    let mut conn = MySqlConnection::connect(url).await.unwrap();
    let lock =
        "SET lock_wait_timeout = 10; LOCK TABLES idem_keys WRITE, effects WRITE; UNLOCK TABLES";
    let locked = conn.execute(lock).await;
    assert!(locked.is_ok(), "a transaction is open: {locked:?}");
}

/// Begins a write transaction: an open one would keep this one out until it is over, or until the
/// busy timeout.
///
/// # Panics
///
/// When one is still open after the pool's busy timeout.
pub async fn sqlite(pool: &SqlitePool) {
    let tx = pool.begin_with("BEGIN IMMEDIATE").await;
    let tx = tx.expect("another transaction is open");
    tx.rollback().await.unwrap();
}
