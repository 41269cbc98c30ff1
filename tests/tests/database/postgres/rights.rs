//! What a role can do by the functions, which run with the rights of the owner of the tables.

use idem_runtime::{VerifyError, migrate, verify};
use idem_tests::server;
use sqlx::{AssertSqlSafe, PgPool, raw_sql};

use super::handlers::{pool_with, runs, start};

/// Types that a function could name. A domain of each name is put in front of it.
const TYPES: [&str; 16] = [
    "text",
    "uuid",
    "bytea",
    "boolean",
    "bool",
    "integer",
    "int4",
    "bigint",
    "int8",
    "smallint",
    "int2",
    "interval",
    "timestamptz",
    "xid8",
    "name",
    "record",
];

/// Guards: each type in a function is named with its schema. A caller's temporary schema comes before
/// `pg_catalog` for types, and a check of a domain there would run as the owner.
#[tokio::test]
async fn no_type_of_a_caller_runs_with_the_rights_of_the_owner() {
    let db = start().await;
    let role = format!("caller_{}", db.database().name());
    db.execute(&format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA public TO {role}"
    ))
    .await;
    let mut conn = db.pool.acquire().await.unwrap();
    let check = format!(
        "SET ROLE {role};
         CREATE FUNCTION pg_temp.rise() RETURNS pg_catalog.bool LANGUAGE plpgsql AS $$
         BEGIN
             EXECUTE 'ALTER ROLE {role} SUPERUSER';
             RETURN true;
         EXCEPTION WHEN insufficient_privilege THEN
             RETURN true;
         END $$"
    );
    raw_sql(AssertSqlSafe(check))
        .execute(&mut *conn)
        .await
        .unwrap();
    for name in TYPES.iter().filter(|name| **name != "record") {
        // The names of the standard are names like any other where they are quoted.
        let base = match *name {
            "boolean" => "bool",
            "integer" => "int4",
            "bigint" => "int8",
            "smallint" => "int2",
            name => name,
        };
        let domain =
            format!("CREATE DOMAIN pg_temp.\"{name}\" AS pg_catalog.{base} CHECK (pg_temp.rise())");
        raw_sql(AssertSqlSafe(domain))
            .execute(&mut *conn)
            .await
            .unwrap();
    }
    for (id, events) in [("1", 0), ("2", 1), ("3", 3)] {
        let outcome = runs(&mut conn, id, "SELECT 1", "text", events).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        let again = runs(&mut conn, id, "SELECT 1", "text", events).await;
        assert!(again.is_ok(), "{again:?}");
    }
    raw_sql("RESET ROLE").execute(&mut *conn).await.unwrap();
    drop(conn);
    let risen = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{role}' AND rolsuper");
    assert_eq!(db.number(&risen).await, 0);
    db.pool.close().await;
    let admin = PgPool::connect(db.database().url()).await.unwrap();
    let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    raw_sql(AssertSqlSafe(drop)).execute(&admin).await.unwrap();
}

/// Guards: text is sent as ASCII. The header `causation` is the key, as text.
#[tokio::test]
async fn a_client_encoding_that_a_handler_sets_changes_no_text() {
    let db = start().await;
    let key = "ordé日😀";
    let sql = "SET client_encoding = 'LATIN1'";
    let outcome = runs(&db.pool, key, sql, "text", 1).await.unwrap();
    assert!(outcome.is_executed());
    let headers = sqlx::query_scalar("SELECT headers FROM idem_outbox");
    let headers: String = headers.fetch_one(&pool_with(&db, &[]).await).await.unwrap();
    assert!(headers.contains(key), "{headers}");
}

/// In another encoding some texts could not be stored, and their deliveries would be tried for ever.
#[tokio::test]
async fn a_database_in_another_encoding_is_refused() {
    let database = server::postgres().database().await;
    let admin = PgPool::connect(database.url()).await.unwrap();
    let name = format!("{}_latin1", database.name());
    let create = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    raw_sql(AssertSqlSafe(create))
        .execute(&admin)
        .await
        .unwrap();
    let options: sqlx::postgres::PgConnectOptions = database.url().parse().unwrap();
    let pool = PgPool::connect_with(options.database(&name)).await.unwrap();
    let refused = migrate(&pool).await.unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("LATIN1") && why.contains("UTF8"), "{why}");
    let unfit = verify(&pool).await.unwrap_err();
    assert!(matches!(unfit, VerifyError::NotMigrated { .. }), "{unfit}");
    pool.close().await;
    let drop = format!("DROP DATABASE {name}");
    raw_sql(AssertSqlSafe(drop)).execute(&admin).await.unwrap();
}
