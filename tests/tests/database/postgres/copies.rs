//! Event IDs in a database that was restored from a dump, and in one that is a copy.

use std::process::Command;

use idem_runtime::renew_namespace;
use idem_tests::server;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};

use super::handlers::{Db, connect, runs, start};

const FORGET: &str = "DELETE FROM idem_keys; DELETE FROM idem_outbox";

/// The IDs of one execution.
async fn execute(db: &Db) -> Vec<String> {
    db.execute(FORGET).await;
    let outcome = runs(&db.pool, "1", "SELECT 1", "text", 3).await;
    assert!(outcome.unwrap().is_executed());
    db.texts("SELECT id::text FROM idem_outbox ORDER BY topic, payload")
        .await
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} (postgresql-client): {error}"));
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn admin(sql: String) {
    let mut admin = PgConnection::connect(&server::postgres().url("postgres"))
        .await
        .unwrap();
    raw_sql(AssertSqlSafe(sql))
        .execute(&mut admin)
        .await
        .unwrap();
}

/// Guards: the namespace is in the rows and in the functions that a dump holds.
#[tokio::test]
async fn a_database_restored_from_a_dump_has_its_event_ids() {
    let mut db = start().await;
    let before = execute(&db).await;
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump.sql").display().to_string();
    run(
        "pg_dump",
        &["--dbname", db.database().url(), "--file", &dump],
    );
    let restored = server::postgres().database().await;
    let url = restored.url();
    run(
        "psql",
        &[
            "--quiet",
            "-v",
            "ON_ERROR_STOP=1",
            "--dbname",
            url,
            "--file",
            &dump,
        ],
    );
    db.pool = connect(&url.parse().unwrap(), 2).await;
    idem_runtime::verify(&db.pool).await.unwrap();
    let replayed = runs(&db.pool, "1", "SELECT 1", "text", 3).await;
    assert!(replayed.unwrap().is_replayed());
    assert_eq!(execute(&db).await, before);
    idem_runtime::migrate(&db.pool).await.unwrap();
    assert_eq!(execute(&db).await, before);
}

/// Guards: the new namespace is in the table and in the functions.
#[tokio::test]
async fn a_template_copy_has_other_event_ids_once_its_namespace_is_renewed() {
    let mut db = start().await;
    let before = execute(&db).await;
    db.pool.close().await;
    let name = format!("copy_of_{}", db.database().name());
    admin(format!(
        "CREATE DATABASE {name} TEMPLATE {}",
        db.database().name()
    ))
    .await;
    let url = server::postgres().url(&name);
    db.pool = connect(&url.parse().unwrap(), 2).await;
    assert_eq!(execute(&db).await, before);
    renew_namespace(&db.pool).await.unwrap();
    let renewed = execute(&db).await;
    assert!(before.iter().all(|id| !renewed.contains(id)));
    idem_runtime::migrate(&db.pool).await.unwrap();
    assert_eq!(execute(&db).await, renewed);
    db.pool.close().await;
    admin(format!("DROP DATABASE {name}")).await;
}
