//! What a deferred trigger of the user's fails with is the user's error, whatever its code means
//! elsewhere.

use idem_runtime::Error;

use super::handlers::{count, runs, start};

/// Guards: an error's place, by which one of our own functions is distinguished from a trigger of
/// somebody else's.
#[tokio::test]
async fn an_error_of_a_trigger_at_commit_is_the_databases_error_whatever_its_code() {
    let db = start().await;
    db.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE EXCEPTION 'the user''s' USING ERRCODE = NEW.id; END$$; \
         CREATE TABLE failing (id text); \
         CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON failing DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    .await;
    for code in [
        "42P01", "42883", "42703", "3F000", "40001", "40P01", "55P03", "23505", "42501", "25P02",
        "25P01", "3B001", "IDM01", "IDM02", "IDM03", "IDM04", "IDM05", "IDM99", "P0001",
    ] {
        let sql = format!("INSERT INTO failing VALUES ('{code}')");
        for events in [0, 1, 3] {
            let failed = runs(&db.pool, code, &sql, "text", events).await;
            let Err(Error::Store(error)) = failed else {
                panic!("{code}: {failed:?}");
            };
            let found = error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code);
            assert_eq!(found.as_deref(), Some(code));
        }
        // Where the caller commits, its COMMIT says so.
        let mut tx = db.pool.begin().await.unwrap();
        let joined = runs(&mut tx, code, &sql, "text", 1).await.unwrap();
        assert!(joined.is_executed());
        let error = tx.commit().await.unwrap_err();
        let found = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        assert_eq!(found.as_deref(), Some(code));
    }
    assert_eq!(
        (
            count(&db, "idem_keys").await,
            count(&db, "idem_outbox").await
        ),
        (0, 0)
    );
    let outcome = runs(&db.pool, "42P01", "SELECT 1", "text", 1).await;
    assert!(outcome.unwrap().is_executed());
}
