//! A schema that is renamed, and another one that gets its name.

use idem_runtime::{Error, VerifyError, migrate, verify};
use sqlx::{Executor as _, PgPool};

use super::handlers::{count, pool_with, runs, start};

/// Calls whose tables must not be found.
async fn assert_refused(pool: &PgPool, case: &str) {
    for id in ["known", "new"] {
        let refused = runs(pool, id, "SELECT 1", "text", 1).await;
        assert!(
            matches!(refused, Err(Error::NotMigrated)),
            "{case}: {refused:?}"
        );
        let mut tx = pool.begin().await.unwrap();
        let refused = runs(&mut tx, id, "SELECT 1", "text", 1).await;
        assert!(
            matches!(refused, Err(Error::NotMigrated)),
            "{case}: {refused:?}"
        );
    }
}

async fn assert_known(pool: &PgPool, case: &str) {
    let known = runs(pool, "known", "SELECT 1", "text", 1).await;
    assert!(known.unwrap().is_replayed(), "{case}");
}

/// Guards: the functions say which schema they were made for, and a look at them compares.
#[tokio::test]
async fn a_renamed_schema_is_refused_until_it_is_migrated_and_then_knows_what_it_knew() {
    for (case, new) in [
        ("no other schema", ""),
        ("an empty one of the old name", "CREATE SCHEMA staging"),
        (
            "a migrated one of the old name",
            "CREATE SCHEMA staging; -- migrated",
        ),
    ] {
        let db = start().await;
        db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA staging")
            .await;
        let staging = pool_with(&db, &[("search_path", "staging")]).await;
        // It finds the tables before and after the rename, and knows where they were.
        let running = pool_with(&db, &[("search_path", "live,staging")]).await;
        migrate(&staging).await.unwrap();
        for pool in [&staging, &running] {
            let _outcome = runs(pool, "known", "SELECT 1", "text", 1).await.unwrap();
        }
        db.execute("ALTER SCHEMA staging RENAME TO live").await;
        db.execute(new).await;
        let live = pool_with(&db, &[("search_path", "live")]).await;
        assert_refused(&live, case).await;
        let unfit = verify(&live).await;
        let Err(VerifyError::MissingRequirements(sentences)) = unfit else {
            panic!("{case}: {unfit:?}");
        };
        assert!(
            sentences[0].contains("were made in the schema `staging` and are now in `live`"),
            "{sentences:?}"
        );
        if new.contains("migrated") {
            migrate(&staging).await.unwrap();
            // Tables of its own, where nothing is known.
            let outcome = runs(&staging, "known", "SELECT 1", "text", 1).await;
            assert!(outcome.unwrap().is_executed(), "{case}");
        } else {
            assert_refused(&staging, case).await;
        }
        assert_refused(&running, case).await;
        migrate(&live).await.unwrap();
        verify(&live).await.unwrap();
        assert_known(&live, case).await;
        assert_known(&running, case).await;
        let new_message = runs(&running, "new", "SELECT 1", "text", 1).await;
        assert!(new_message.unwrap().is_executed(), "{case}");
        assert_eq!(count(&db, "live.idem_keys").await, 2, "{case}");
    }
}

/// Guards: a pool forgets where the tables were once they are not there.
#[tokio::test]
async fn a_running_pool_finds_tables_that_were_dropped_and_made_anew_elsewhere() {
    let db = start().await;
    db.execute("CREATE SCHEMA other").await;
    let pool = pool_with(&db, &[("search_path", "other,public")]).await;
    assert!(
        runs(&pool, "1", "SELECT 1", "text", 1)
            .await
            .unwrap()
            .is_executed()
    );
    db.pool.execute("DROP SCHEMA public CASCADE").await.unwrap();
    let missing = runs(&pool, "1", "SELECT 1", "text", 1).await;
    assert!(matches!(missing, Err(Error::NotMigrated)), "{missing:?}");
    migrate(&pool).await.unwrap();
    assert!(
        runs(&pool, "1", "SELECT 1", "text", 1)
            .await
            .unwrap()
            .is_executed()
    );
    assert_eq!(count(&db, "other.idem_outbox").await, 1);
}
