//! Fills outboxes: 100 bytes of payload, 1,000 keys.

use anyhow::Result;
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, SqlitePool, raw_sql};

/// Adds so many events in one transaction, with these keys: a number of them, and what each begins
/// with.
pub(super) async fn fill_postgres(
    pool: &PgPool,
    events: u64,
    keys: u64,
    prefix: &str,
) -> Result<()> {
    let sql = format!(
        "INSERT INTO idem_outbox (id, shard, topic, key, type, payload, content_type, headers) \
         SELECT gen_random_uuid(), (n % {keys}) % 64, 'bench', '{prefix}-' || n % {keys}, 'Bench', \
           convert_to('\"' || repeat('x', 98) || '\"', 'UTF8'), 'application/json', '{{}}' \
         FROM generate_series(1, {events}) AS n"
    );
    raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
    Ok(())
}

pub(super) async fn fill_mariadb(pool: &MySqlPool, events: u64) -> Result<()> {
    let sql = format!(
        "INSERT INTO idem_outbox (id, shard, topic, `key`, type, payload, content_type, headers) \
         SELECT UNHEX(REPLACE(UUID(), '-', '')), (seq % 1000) % 64, 'bench', CONCAT('key-', seq % 1000), 'Bench', \
           CONCAT('\"', REPEAT('x', 98), '\"'), 'application/json', '{{}}' FROM seq_1_to_{events}"
    );
    raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
    Ok(())
}

pub(super) async fn fill_sqlite(pool: &SqlitePool, events: u64) -> Result<()> {
    let sql = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {events}) \
         INSERT INTO idem_outbox (id, shard, topic, key, type, payload, content_type, headers) \
         SELECT randomblob(16), (n % 1000) % 64, 'bench', 'key-' || n % 1000, 'Bench', \
           CAST('\"' || printf('%.98c', 'x') || '\"' AS BLOB), 'application/json', '{{}}' FROM numbers"
    );
    raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
    Ok(())
}
