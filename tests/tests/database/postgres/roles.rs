//! Handlers that change the role or the search path of their transaction.

use idem_runtime::{Disposition, Error, Outbox, idempotent, outbox};
use sqlx::PgConnection;

use super::handlers::{Db, Done, count, keyless, perform, pool_with, runs, start};

/// Runs a statement, and then another handler in its transaction.
#[idempotent(key = "id", scope = "postgres.outer")]
#[outbox]
async fn outer(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Done>,
    id: &str,
    sql: &str,
) -> Result<bool, sqlx::Error> {
    perform(tx, sql).await?;
    let inner = runs(&mut *tx, id, "SELECT 1", "inner", 1).await;
    let inner = inner.map_err(|error| sqlx::Error::Protocol(error.to_string()))?;
    outbox.emit(&Done {
        text: "outer".into(),
    });
    Ok(inner.is_executed())
}

/// Guards: functions are called by the schema that the pool learnt, and joined calls go where the
/// first one went.
#[tokio::test]
async fn a_search_path_that_a_handler_sets_leads_neither_claim_nor_events_elsewhere() {
    for migrated in [false, true] {
        let db = start().await;
        db.execute("CREATE SCHEMA tenant_1; CREATE TABLE tenant_1.effects (id text)")
            .await;
        if migrated {
            let tenant = pool_with(&db, &[("search_path", "tenant_1")]).await;
            idem_runtime::migrate(&tenant).await.unwrap();
        }
        let sql = "SET LOCAL search_path TO tenant_1; INSERT INTO effects VALUES ('x')";
        for expected in [true, false] {
            let outcome = outer(&db.pool, "1", sql).await.unwrap();
            assert_eq!(outcome.is_executed(), expected);
            let outcome = runs(&db.pool, "2", sql, "text", 3).await.unwrap();
            assert_eq!(outcome.is_executed(), expected);
        }
        let mut conn = db.pool.acquire().await.unwrap();
        assert!(
            runs(&mut conn, "3", sql, "text", 1)
                .await
                .unwrap()
                .is_executed()
        );
        keyless(&mut conn, sql, "text").await.unwrap();
        drop(conn);
        let mut tx = db.pool.begin().await.unwrap();
        assert!(
            runs(&mut tx, "4", sql, "text", 1)
                .await
                .unwrap()
                .is_executed()
        );
        // The path is set for the rest of the transaction: the second goes where the first went.
        assert!(
            runs(&mut tx, "5", sql, "text", 1)
                .await
                .unwrap()
                .is_executed()
        );
        assert!(
            runs(&mut tx, "4", sql, "text", 1)
                .await
                .unwrap()
                .is_replayed()
        );
        tx.commit().await.unwrap();
        assert_eq!(count(&db, "public.idem_keys").await, 6);
        assert_eq!(count(&db, "public.idem_outbox").await, 2 + 3 + 1 + 1 + 2);
        assert_eq!(count(&db, "tenant_1.effects").await, 6);
        if migrated {
            assert_eq!(count(&db, "tenant_1.idem_keys").await, 0);
            assert_eq!(count(&db, "tenant_1.idem_outbox").await, 0);
        }
    }
}

/// A role of this test's own: roles are the server's, not the database's.
async fn role(db: &Db, name: &str) -> String {
    let role = format!("{name}_{}", db.database().name());
    db.execute(&format!(
        "REVOKE USAGE ON SCHEMA public FROM PUBLIC; DROP ROLE IF EXISTS {role}; CREATE ROLE {role}; \
         CREATE SCHEMA {role} AUTHORIZATION {role}; CREATE TABLE {role}.effects (id text); \
         GRANT INSERT ON {role}.effects TO {role}"
    ))
    .await;
    role
}

/// Guards: the functions run with the rights of their owner, so that USAGE on the schema is all
/// that a role needs.
#[tokio::test]
async fn a_role_that_a_handler_takes_needs_usage_of_the_schema_and_nothing_else() {
    let db = start().await;
    let role = role(&db, "tenant").await;
    let sql = format!("SET LOCAL ROLE {role}; INSERT INTO {role}.effects VALUES ('x')");
    let refused = runs(&db.pool, "1", &sql, "text", 1).await.unwrap_err();
    assert_eq!(refused.disposition(), Disposition::DeadLetter);
    let Error::NotPermitted { grant } = &refused else {
        panic!("{refused:?}");
    };
    assert!(refused.to_string().contains(grant), "{refused}");
    for events in [0, 1, 3] {
        let refused = runs(&db.pool, "1", &sql, "text", events).await;
        assert!(
            matches!(refused, Err(Error::NotPermitted { .. })),
            "{refused:?}"
        );
    }
    let refused = keyless(&db.pool, &sql, "text").await;
    assert!(
        matches!(refused, Err(Error::NotPermitted { .. })),
        "{refused:?}"
    );
    let mut tx = db.pool.begin().await.unwrap();
    let refused = runs(&mut tx, "1", &sql, "text", 1).await;
    assert!(
        matches!(refused, Err(Error::NotPermitted { .. })),
        "{refused:?}"
    );
    tx.rollback().await.unwrap();
    assert_eq!(count(&db, "idem_keys").await, 0);
    assert_eq!(count(&db, &format!("{role}.effects")).await, 0);

    let grant = grant.replace("<the role that the handler takes>", &role);
    db.execute(&grant).await;
    for expected in [true, false] {
        let outcome = runs(&db.pool, "1", &sql, "text", 3).await.unwrap();
        assert_eq!(outcome.is_executed(), expected);
        let outcome = outer(&db.pool, "2", &sql).await.unwrap();
        assert_eq!(outcome.is_executed(), expected);
    }
    keyless(&db.pool, &sql, "text").await.unwrap();
    let mut tx = db.pool.begin().await.unwrap();
    assert!(
        runs(&mut tx, "3", &sql, "text", 1)
            .await
            .unwrap()
            .is_executed()
    );
    assert!(
        runs(&mut tx, "4", &sql, "text", 1)
            .await
            .unwrap()
            .is_executed()
    );
    tx.commit().await.unwrap();
    assert_eq!(count(&db, "idem_keys").await, 5);
    // The role reads nothing of what is stored.
    let mut conn = db.pool.acquire().await.unwrap();
    perform(&mut conn, &format!("SET ROLE {role}"))
        .await
        .unwrap();
    let read = perform(&mut conn, "SELECT result FROM public.idem_keys").await;
    assert!(read.is_err());
    perform(&mut conn, "RESET ROLE").await.unwrap();
}

/// Guards: a call sets no role, so that a session's own is there afterwards.
#[tokio::test]
async fn a_session_that_took_a_role_keeps_it() {
    let db = start().await;
    let role = role(&db, "service").await;
    db.execute(&format!("GRANT USAGE ON SCHEMA public TO {role}"))
        .await;
    let pool = pool_with(&db, &[("role", &role)]).await;
    let sql = format!("INSERT INTO {role}.effects VALUES ('x')");
    let mut conn = pool.acquire().await.unwrap();
    for expected in [true, false] {
        let outcome = runs(&mut conn, "1", &sql, "text", 1).await.unwrap();
        assert_eq!(outcome.is_executed(), expected);
        let now: String = sqlx::query_scalar("SELECT current_user::text")
            .fetch_one(&mut *conn)
            .await
            .unwrap();
        assert_eq!(now, role);
    }
    assert!(
        runs(&pool, "2", &sql, "text", 3)
            .await
            .unwrap()
            .is_executed()
    );
    idem_runtime::verify(&pool).await.unwrap();
}

/// Guards: the schema's name is quoted.
#[tokio::test]
async fn the_grant_names_a_schema_of_any_name() {
    let db = start().await;
    let role = role(&db, "odd").await;
    db.execute(r#"CREATE SCHEMA "My ""own"" one""#).await;
    let pool = pool_with(&db, &[("search_path", r#""My ""own"" one""#)]).await;
    idem_runtime::migrate(&pool).await.unwrap();
    let sql = format!("SET LOCAL ROLE {role}");
    let refused = runs(&pool, "1", &sql, "text", 1).await;
    let Err(Error::NotPermitted { grant }) = refused else {
        panic!("{refused:?}");
    };
    db.execute(&grant.replace("<the role that the handler takes>", &role))
        .await;
    assert!(
        runs(&pool, "1", &sql, "text", 1)
            .await
            .unwrap()
            .is_executed()
    );
}
