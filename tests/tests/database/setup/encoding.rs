//! A database whose texts are UTF-16, where sqlx reads every text wrongly.

use idem_runtime::{Error, VerifyError, idempotent};
use idem_tests::server;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Executor as _, SqliteConnection, SqlitePool};

#[idempotent(key = "id", scope = "h.xA")]
async fn one(_tx: &mut SqliteConnection, id: i64) -> Result<String, sqlx::Error> {
    let _ = id;
    Ok("one".into())
}

#[idempotent(key = "id", scope = "h.xAB")]
async fn other(_tx: &mut SqliteConnection, id: i64) -> Result<String, sqlx::Error> {
    let _ = id;
    Ok("other".into())
}

async fn encoded(database: &server::Database, encoding: &'static str) -> SqlitePool {
    let options: SqliteConnectOptions = database.url().parse().unwrap();
    let options = options.pragma("encoding", encoding);
    SqlitePoolOptions::new()
        .max_connections(2)
        .connect_with(options)
        .await
        .unwrap()
}

const UTF_16: [&str; 3] = ["'UTF-16'", "'UTF-16le'", "'UTF-16be'"];

/// Guards: `migrate` asks for the encoding, and `verify` does.
#[tokio::test]
async fn another_encoding_than_utf_8_is_refused_with_the_reason() {
    for encoding in UTF_16 {
        let database = server::sqlite();
        let pool = encoded(&database, encoding).await;
        let refused = idem_runtime::migrate(&pool).await;
        let Err(Error::Store(error)) = refused else {
            panic!("{encoding}: {refused:?}");
        };
        let reason = error.to_string();
        assert!(reason.contains("UTF-16"), "{reason}");
        assert!(reason.contains("PRAGMA encoding = 'UTF-8'"), "{reason}");
        let tables = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM sqlite_master");
        assert_eq!(tables.fetch_one(&pool).await.unwrap(), 0);
        let unfit = idem_runtime::verify(&pool).await;
        let Err(VerifyError::MissingRequirements(sentences)) = unfit else {
            panic!("{encoding}: {unfit:?}");
        };
        assert!(sentences[0].contains("UTF-16"), "{sentences:?}");
    }
}

/// Guards: the tables check the encoding themselves, so that a schema that was applied by hand lets
/// no two scopes be one.
#[tokio::test]
async fn tables_made_by_hand_in_another_encoding_take_no_claim() {
    for encoding in UTF_16 {
        let database = server::sqlite();
        let pool = encoded(&database, encoding).await;
        for statement in
            include_str!("../../../../idem-runtime/migrations/sqlite/0001_create.sql").split(";\n")
        {
            // As a shell does that goes on after an error.
            drop(pool.execute(statement).await);
        }
        // Their version could not be written, and `migrate` says why.
        let refused = [
            one(&pool, 1).await.expect_err("refused"),
            other(&pool, 1).await.expect_err("refused"),
        ];
        for error in refused {
            assert!(matches!(error, Error::NotMigrated), "{error:?}");
        }
        let claim = "INSERT INTO idem_keys (scope, key) VALUES ('h.xA', X'01')";
        let refused = pool.execute(claim).await.unwrap_err().to_string();
        assert!(refused.contains("encoding_must_be_utf_8"), "{refused}");
    }
}

#[tokio::test]
async fn the_default_encoding_keeps_scopes_apart() {
    let database = server::sqlite();
    let pool = encoded(&database, "'UTF-8'").await;
    idem_runtime::migrate(&pool).await.unwrap();
    idem_runtime::verify(&pool).await.ok();
    for executed in [true, false] {
        assert_eq!(one(&pool, 1).await.unwrap().is_executed(), executed);
        assert_eq!(other(&pool, 1).await.unwrap().is_executed(), executed);
    }
}
