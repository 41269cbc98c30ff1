//! `verify` tells what is wrong before the first message, and its fix is the right one.

use idem_runtime::{Event, Outbox, Outcome, VerifyError, idempotent, migrate, outbox, verify};
use idem_tests::server::{self, Database};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, PgPool};

async fn migrated() -> (Database, PgPool) {
    let database = server::postgres().database().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    migrate(&pool).await.unwrap();
    (database, pool)
}

/// A pool whose connections have taken a role, or any other setting, before they are used.
async fn pool_after(database: &Database, setup: impl Into<String>) -> PgPool {
    let setup = setup.into();
    PgPoolOptions::new()
        .after_connect(move |conn, _| {
            let setup = setup.clone();
            Box::pin(async move { conn.execute(AssertSqlSafe(setup)).await.map(drop) })
        })
        .connect(database.url())
        .await
        .unwrap()
}

async fn unfit(pool: &PgPool) -> Vec<String> {
    match verify(pool).await {
        Err(VerifyError::MissingRequirements(lacks)) => lacks,
        other => panic!("not unfit: {other:?}"),
    }
}

#[tokio::test]
async fn an_empty_database_is_not_migrated() {
    let database = server::postgres().database().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    let error = verify(&pool).await.unwrap_err();
    let VerifyError::NotMigrated {
        found: None,
        needed,
    } = error
    else {
        panic!("{error}");
    };
    assert!(needed > 0);
    assert!(
        error
            .to_string()
            .contains("idem_runtime::migrate(&pool).await"),
        "{error}"
    );
}

#[tokio::test]
async fn tables_of_this_release_are_fit_also_through_a_pooler() {
    let (_database, pool) = migrated().await;
    verify(&pool).await.unwrap();

    let database = server::pgbouncer().database().await;
    let direct = PgPool::connect(database.direct_url()).await.unwrap();
    migrate(&direct).await.unwrap();
    let pool = PgPool::connect(database.url()).await.unwrap();
    verify(&pool).await.unwrap();
}

/// Pretends that the tables are of another version.
async fn set_version(pool: &PgPool, version: u32) {
    let source = "SELECT prosrc FROM pg_proc WHERE proname = 'idem_home'";
    let source: String = sqlx::query_scalar(source).fetch_one(pool).await.unwrap();
    let (_, rest) = source.split_once(' ').unwrap();
    let (_, rest) = rest.split_once(' ').unwrap();
    let function = format!(
        "CREATE OR REPLACE FUNCTION idem_home() RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT '{version} {rest}$$"
    );
    pool.execute(AssertSqlSafe(function)).await.unwrap();
}

/// The service that is deployed second must not refuse the tables of the first, nor work on older
/// ones.
#[tokio::test]
async fn later_tables_are_fit_and_older_ones_are_not() {
    let (_database, pool) = migrated().await;
    set_version(&pool, 2).await;
    verify(&pool).await.unwrap();
    set_version(&pool, 0).await;
    let error = verify(&pool).await.unwrap_err();
    assert!(
        matches!(error, VerifyError::NotMigrated { found: Some(0), .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .starts_with("the tables are of version 0 and this release needs version"),
        "{error}"
    );
}

#[derive(serde::Serialize, Event)]
#[event(topic = "verify.done")]
struct Done {
    id: i64,
}

#[idempotent(key = "id", scope = "verify.emits")]
#[outbox]
async fn emits(
    tx: &mut PgConnection,
    outbox: &mut Outbox<Done>,
    id: i64,
) -> Result<(), sqlx::Error> {
    tx.execute("SELECT 1").await?;
    outbox.emit(&Done { id });
    Ok(())
}

/// Each sentence ends with the statement that helps: run them all, and the role is fit, and handles
/// a message.
#[tokio::test]
async fn a_role_without_grants_is_told_each_one() {
    let (database, admin) = migrated().await;
    let role = format!("service_{}", database.name());
    for statement in [
        format!("CREATE ROLE {role}"),
        "REVOKE USAGE ON SCHEMA public FROM PUBLIC".to_owned(),
        "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC".to_owned(),
    ] {
        admin.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let pool = pool_after(&database, format!("SET ROLE {role}")).await;
    let usage = format!("GRANT USAGE ON SCHEMA public TO {role}");
    assert_eq!(
        unfit(&pool).await,
        [format!("`USAGE` is not granted: {usage}")]
    );
    admin.execute(AssertSqlSafe(usage)).await.unwrap();
    let lacks = unfit(&pool).await;
    let grant_execute = |function: &str| {
        format!("`EXECUTE` is not granted: GRANT EXECUTE ON FUNCTION {function} TO {role}")
    };
    let expected = [
        grant_execute("idem_claim(boolean,text,uuid,integer,bigint,text,bytea,bytea,bigint)"),
        grant_execute("idem_begin(boolean,text)"),
        grant_execute("idem_find(text,bytea)"),
        grant_execute("idem_emit(uuid[],smallint[],text[],text[],text[],bytea[],text[],text[])"),
        grant_execute("idem_finish(text,bytea,integer,bytea,integer)"),
        grant_execute(
            "idem_emit_and_finish(uuid,smallint,text,text,text,bytea,text,text,text,bytea,integer,bytea,integer)",
        ),
    ];
    assert_eq!(lacks, expected);
    for lack in &lacks {
        let (_, grant) = lack.split_once(": ").unwrap();
        admin
            .execute(AssertSqlSafe(grant.to_owned()))
            .await
            .unwrap();
    }
    verify(&pool).await.unwrap();
    assert_eq!(emits(&pool, 7).await.unwrap(), Outcome::Executed(()));
    assert_eq!(emits(&pool, 7).await.unwrap(), Outcome::Replayed(()));
    pool.close().await;
    let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    admin
        .execute(sqlx::raw_sql(AssertSqlSafe(drop)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_function_that_is_gone_is_named() {
    let (_database, pool) = migrated().await;
    pool.execute("DROP FUNCTION idem_finish").await.unwrap();
    assert_eq!(
        unfit(&pool).await,
        [
            "the function `idem_finish(text,bytea,integer,bytea,integer)` is missing: call `idem_runtime::migrate` or apply \
             the SQL in `migrations/`"
        ]
    );
}

#[tokio::test]
async fn tables_outside_of_the_search_path_are_not_migrated() {
    let (database, _pool) = migrated().await;
    let pool = pool_after(&database, "SET search_path TO pg_catalog").await;
    let error = verify(&pool).await.unwrap_err();
    assert!(
        matches!(error, VerifyError::NotMigrated { found: None, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_unfit() {
    let (database, _pool) = migrated().await;
    let pool = pool_after(&database, "SET default_transaction_read_only TO on").await;
    assert_eq!(
        unfit(&pool).await,
        [
            "the server or the role is read-only (transaction_read_only is on): connect to the primary"
        ]
    );
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_reported_as_it_is() {
    let database = server::postgres().database().await;
    let options: PgConnectOptions = database.url().parse().unwrap();
    let pool = PgPool::connect_lazy_with(options.database("no such database"));
    let error = verify(&pool).await.unwrap_err();
    assert!(matches!(error, VerifyError::Store(_)), "{error}");
}

mod mariadb {
    use sqlx::{MySqlConnection, MySqlPool};

    use super::*;

    #[idempotent(key = "id", scope = "verify.emits_on_mariadb")]
    #[outbox]
    async fn emits(
        tx: &mut MySqlConnection,
        outbox: &mut Outbox<Done>,
        id: i64,
    ) -> Result<(), sqlx::Error> {
        tx.execute("SELECT 1").await?;
        outbox.emit(&Done { id });
        Ok(())
    }

    #[tokio::test]
    async fn a_role_without_grants_is_told_each_one() {
        let database = server::mariadb().database().await;
        let admin = MySqlPool::connect(database.url()).await.unwrap();
        assert!(matches!(
            verify(&admin).await,
            Err(VerifyError::NotMigrated { found: None, .. })
        ));
        migrate(&admin).await.unwrap();
        verify(&admin).await.unwrap();

        let (name, user) = (database.name(), format!("service_{}", std::process::id()));
        let run = async |statement: String| {
            admin.execute(AssertSqlSafe(statement)).await.unwrap();
        };
        run(format!(
            "CREATE USER {user}@localhost IDENTIFIED BY 'service'"
        ))
        .await;
        // Any privilege at all lets it connect to the database.
        run(format!(
            "GRANT DELETE ON {name}.idem_relays TO {user}@localhost"
        ))
        .await;
        let options: sqlx::mysql::MySqlConnectOptions = database.url().parse().unwrap();
        let pool = MySqlPool::connect_with(options.username(&user).password("service"))
            .await
            .unwrap();
        let Err(VerifyError::MissingRequirements(lacks)) = verify(&pool).await else {
            panic!("fit");
        };
        let grants = [
            "SELECT ON idem_keys",
            "INSERT ON idem_keys",
            "UPDATE ON idem_keys",
            "SELECT ON idem_outbox",
            "INSERT ON idem_outbox",
            "UPDATE ON idem_outbox",
            "SELECT ON idem_schema",
        ];
        let expected = grants.map(|grant| {
            let (privilege, _) = grant.split_once(' ').unwrap();
            format!("`{privilege}` is not granted: GRANT {grant} to the user of this connection")
        });
        assert_eq!(lacks, expected);
        for grant in grants {
            run(format!(
                "GRANT {} TO {user}@localhost",
                grant.replace("ON ", &format!("ON {name}."))
            ))
            .await;
        }
        verify(&pool).await.unwrap();
        assert_eq!(emits(&pool, 7).await.unwrap(), Outcome::Executed(()));
        assert_eq!(emits(&pool, 7).await.unwrap(), Outcome::Replayed(()));
        run(format!("DROP USER {user}@localhost")).await;
    }

    #[tokio::test]
    async fn a_table_without_transactions_is_unfit() {
        let database = server::mariadb().database().await;
        let pool = MySqlPool::connect(database.url()).await.unwrap();
        migrate(&pool).await.unwrap();
        pool.execute("ALTER TABLE idem_outbox ENGINE = MyISAM")
            .await
            .unwrap();
        let Err(VerifyError::MissingRequirements(lacks)) = verify(&pool).await else {
            panic!("fit");
        };
        assert_eq!(
            lacks,
            [
                "the table `idem_outbox` has the engine MyISAM, which has no transactions: ALTER TABLE idem_outbox ENGINE = InnoDB"
            ]
        );
        pool.execute("ALTER TABLE idem_outbox ENGINE = InnoDB")
            .await
            .unwrap();
        verify(&pool).await.unwrap();
    }

    /// Guards: the COMMIT after the version of the schema is read. The other questions begin no
    /// transaction.
    #[tokio::test]
    async fn a_session_without_autocommit_is_left_at_rest() {
        let database = server::mariadb().database().await;
        let options = sqlx::mysql::MySqlPoolOptions::new().max_connections(1);
        let pool = options.connect(database.url()).await.unwrap();
        migrate(&pool).await.unwrap();
        pool.execute("SET autocommit = 0").await.unwrap();
        verify(&pool).await.unwrap();
        let open = sqlx::query_scalar::<_, i64>("SELECT CAST(@@in_transaction AS SIGNED)");
        assert_eq!(open.fetch_one(&pool).await.unwrap(), 0);
    }
}

mod sqlite {
    use sqlx::SqlitePool;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    #[tokio::test]
    async fn a_file_that_takes_no_writes_is_unfit() {
        let database = server::sqlite();
        let pool = SqlitePool::connect(database.url()).await.unwrap();
        assert!(matches!(
            verify(&pool).await,
            Err(VerifyError::NotMigrated { found: None, .. })
        ));
        migrate(&pool).await.unwrap();
        verify(&pool).await.unwrap();

        let options: SqliteConnectOptions = database.url().parse().unwrap();
        let pool = SqlitePool::connect_with(options.read_only(true))
            .await
            .unwrap();
        let Err(VerifyError::MissingRequirements(lacks)) = verify(&pool).await else {
            panic!("fit");
        };
        assert_eq!(
            lacks,
            [
                "the database is read-only: open it with `mode=rw`, and let this user write its file and folder"
            ]
        );
    }

    #[tokio::test]
    async fn a_database_that_is_written_to_is_fit() {
        let database = server::sqlite();
        let pool = SqlitePool::connect(database.url()).await.unwrap();
        migrate(&pool).await.unwrap();
        let _writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let options: SqliteConnectOptions = database.url().parse().unwrap();
        let impatient = options.busy_timeout(std::time::Duration::ZERO);
        let other = SqlitePool::connect_with(impatient).await.unwrap();
        verify(&other).await.unwrap();
    }
}
