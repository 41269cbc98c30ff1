//! PostgreSQL keeps every law.

use idem_tests::TestDb;

suite!();

pub(crate) type Db = TestDb<sqlx::Postgres>;
pub(crate) type Conn = sqlx::PgConnection;
pub(crate) type Pool = sqlx::PgPool;

/// Whether a claim that waits for another transaction knows that it is one of the same key.
pub(crate) const WAITS_FOR_KEYS: bool = true;

/// Whether a transaction that has read may still claim after another one wrote.
pub(crate) const CLAIMS_AFTER_READING: bool = true;

/// An empty database and a pool of this many connections to it.
pub(crate) async fn empty(connections: u32) -> Db {
    TestDb::empty(connections).await
}

pub(crate) async fn another_pool(db: &Db) -> Pool {
    db.another_pool(2).await
}

pub(crate) use sql::{
    CLAIMS, EIGHT_DAYS_AGO, EMITTED, KEY, KEYS_LIKE_OURS, NAMESPACE, VERSIONS, bytes, id,
};

/// Shared with PgBouncer.
pub(crate) mod sql {
    pub(crate) const CLAIMS: &str = "SELECT scope, encode(key, 'hex'), encode(fingerprint, 'hex'), state::bigint, \
        result_version::bigint, convert_from(result, 'UTF8'), \
        round(extract(epoch FROM expires_at - created_at) / 3600)::bigint \
        FROM idem_keys ORDER BY scope, key";

    pub(crate) const EMITTED: &str = "SELECT replace(id::text, '-', ''), topic, key, type, convert_from(payload, 'UTF8'), \
        content_type, headers FROM idem_outbox ORDER BY seq";

    /// A table with a column like `idem_keys.key`.
    pub(crate) const KEYS_LIKE_OURS: &str =
        "CREATE TABLE many_keys AS SELECT key AS bytes FROM idem_keys WHERE false";

    pub(crate) const NAMESPACE: &str = "SELECT replace(namespace::text, '-', '') FROM idem_schema";

    pub(crate) const VERSIONS: &str = "SELECT version::bigint FROM idem_schema";

    /// The expression for a time at which an attempt was touched that a purge deletes.
    pub(crate) const EIGHT_DAYS_AGO: &str = "clock_timestamp() - interval '8 days'";

    pub(crate) const KEY: &str = "key";

    /// A value of `idem_outbox.id`.
    pub(crate) fn id(hex: &str) -> String {
        format!("'{hex}'")
    }

    pub(crate) fn bytes(hex: &str) -> String {
        format!("'\\x{hex}'")
    }
}
