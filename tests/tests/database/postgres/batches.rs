//! Batches: settings of their transaction, rights, a renamed schema, plans.

use std::time::Duration;

use idem_runtime::{Error, Handler, Received, idempotent};
use sqlx::{PgConnection, PgPool};
use tokio::time::Instant;

use super::handlers::{Db, count, perform, pool_with, start};

struct Job {
    id: String,
    sql: String,
}

fn job(id: &str, sql: &str) -> Received<Job> {
    let (id, sql) = (id.to_owned(), sql.to_owned());
    Received::new(id.clone(), Job { id, sql })
}

/// The settings that a claim may touch.
async fn settings(tx: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT concat_ws(' ', current_setting('statement_timeout'), current_setting('lock_timeout'), \
         current_setting('role'), current_setting('enable_seqscan'))",
    )
    .fetch_one(tx)
    .await
}

#[idempotent(key = "job.id", scope = "postgres.one_of_many", handler = One)]
async fn one(tx: &mut PgConnection, job: &Job) -> Result<String, sqlx::Error> {
    let found = settings(tx).await?;
    perform(tx, &job.sql).await?;
    Ok(found)
}

#[idempotent(
    key = "job.id",
    scope = "postgres.many",
    batch = "job in jobs",
    in_flight = "wait 7s",
    handler = Many
)]
async fn many(tx: &mut PgConnection, jobs: &[&Job]) -> Result<Vec<String>, sqlx::Error> {
    let found = settings(tx).await?;
    for job in jobs {
        perform(tx, &job.sql).await?;
    }
    Ok(vec![found; jobs.len()])
}

/// What each delivery got.
async fn deliver<H>(
    pool: &PgPool,
    jobs: &[Received<Job>],
) -> Result<Vec<String>, Error<sqlx::Error>>
where
    H: Handler<
            Database = sqlx::Postgres,
            Message = Job,
            Context = (),
            Output = String,
            Replay = String,
            Error = sqlx::Error,
        >,
{
    let jobs: Vec<_> = jobs.iter().collect();
    let entries = H::call_batch(pool, &jobs, &()).await?;
    entries
        .into_iter()
        .map(|entry| entry.map(idem_runtime::Outcome::into_inner))
        .collect()
}

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

/// Guards: the closing statement compares role and search path with those at the start.
#[tokio::test]
async fn what_an_ordinary_body_sets_does_not_reach_the_next_one_and_commit() {
    let db = start().await;
    let role = role(&db, "left").await;
    let effect = "INSERT INTO public.effects VALUES ('x')";
    let sets = [
        format!("{effect}; SET LOCAL search_path TO {role}, public"),
        format!("{effect}; GRANT USAGE ON SCHEMA public TO {role}; SET LOCAL ROLE {role}"),
        format!("{effect}; SELECT set_config('search_path', 'pg_catalog', true)"),
    ];
    for set in &sets {
        let jobs = [job("1", effect), job("2", set), job("3", "SELECT 1")];
        let changed = deliver::<One>(&db.pool, &jobs).await;
        assert!(
            matches!(changed, Err(Error::SettingsChanged)),
            "{changed:?}"
        );
        // The last body has no next one, and yet the transaction was not its own.
        let changed = deliver::<One>(&db.pool, &jobs[..2]).await;
        assert!(
            matches!(changed, Err(Error::SettingsChanged)),
            "{changed:?}"
        );
        assert_eq!(count(&db, "effects").await, 0);
        assert_eq!(count(&db, "idem_keys").await, 0);
    }
    let put_back = format!(
        "SET LOCAL search_path TO {role}; INSERT INTO effects VALUES ('x'); SET LOCAL search_path TO DEFAULT"
    );
    let jobs = [job("1", effect), job("2", &put_back), job("3", effect)];
    deliver::<One>(&db.pool, &jobs).await.unwrap();
    assert_eq!(count(&db, "effects").await, 2);
    assert_eq!(count(&db, &format!("{role}.effects")).await, 1);
    db.assert_no_open_transaction().await;
}

/// Guards: the end of a batch is called with the rights of its owner; only the schema is needed.
#[tokio::test]
async fn a_batch_handler_may_take_a_role_that_may_use_the_schema() {
    let db = start().await;
    let role = role(&db, "taken").await;
    let sql = format!("SET LOCAL ROLE {role}; INSERT INTO {role}.effects VALUES ('x')");
    let jobs = [job("1", &sql), job("2", &sql)];
    let refused = deliver::<Many>(&db.pool, &jobs).await.unwrap_err();
    let Error::NotPermitted { grant } = &refused else {
        panic!("{refused:?}");
    };
    assert!(refused.to_string().contains(grant), "{refused}");
    assert_eq!(count(&db, "idem_keys").await, 0);
    db.execute(&format!("GRANT USAGE ON SCHEMA public TO {role}"))
        .await;
    deliver::<Many>(&db.pool, &jobs).await.unwrap();
    assert_eq!(count(&db, &format!("{role}.effects")).await, 2);
    assert_eq!(count(&db, "idem_keys").await, 2);
    db.assert_no_open_transaction().await;
}

/// Guards: the bound of the wait for the keys ends with the claim.
#[tokio::test]
async fn a_body_finds_the_settings_of_its_session_after_the_claim() {
    let db = start().await;
    let session = [("statement_timeout", "41s"), ("lock_timeout", "42s")];
    let pool = pool_with(&db, &session).await;
    let jobs = [job("1", "SELECT 1"), job("2", "SELECT 1")];
    let found = vec!["41s 42s none on".to_owned(); 2];
    assert_eq!(deliver::<Many>(&pool, &jobs).await.unwrap(), found);
    assert_eq!(deliver::<One>(&pool, &jobs).await.unwrap(), found);
    let mut tx = pool.begin().await.unwrap();
    perform(&mut tx, "SET LOCAL statement_timeout = '43s'")
        .await
        .unwrap();
    let (jobs, found) = ([job("3", "SELECT 1")], "43s 42s none on");
    let entries = Many::call_batch(&mut tx, &jobs.each_ref(), &())
        .await
        .unwrap();
    let joined = entries.into_iter().next().unwrap().unwrap().into_inner();
    assert_eq!(joined, found);
    assert_eq!(settings(&mut tx).await.unwrap(), found);
}

/// Guards: the statements of a batch are called by the schema that the pool learnt.
#[tokio::test]
async fn a_batch_after_a_rename_of_the_schema_asks_for_migrate_and_goes_on_after_it() {
    let db = start().await;
    let jobs = [job("1", "SELECT 1"), job("2", "SELECT 1")];
    let before = deliver::<Many>(&db.pool, &jobs).await.unwrap();
    db.execute("ALTER SCHEMA public RENAME TO moved; CREATE SCHEMA public")
        .await;
    let moved = pool_with(&db, &[("search_path", "moved")]).await;
    for pool in [&db.pool, &moved] {
        let refused = deliver::<Many>(pool, &jobs).await;
        assert!(matches!(refused, Err(Error::NotMigrated)), "{refused:?}");
    }
    idem_runtime::migrate(&moved).await.unwrap();
    assert_eq!(deliver::<Many>(&moved, &jobs).await.unwrap(), before);
}

/// Guards: the settings of the functions that leave the planner one plan, whatever it believes of
/// the table.
#[tokio::test]
async fn a_batch_reads_no_more_of_the_table_than_its_keys_without_statistics() {
    for believed_empty in [false, true] {
        let db = start().await;
        db.execute("ALTER TABLE idem_keys SET (autovacuum_enabled = off)")
            .await;
        if believed_empty {
            db.execute("ANALYZE idem_keys").await;
        }
        db.execute(
            "INSERT INTO idem_keys (scope, key, state) \
             SELECT 'postgres.many', int4send(n), 3 FROM generate_series(1, 100000) AS n",
        )
        .await;
        let pool = pool_with(&db, &[]).await;
        let before = read(&db, 100_000).await;
        let jobs: Vec<_> = (0..500).map(|n| job(&format!("{n:08}"), "")).collect();
        deliver::<Many>(&pool, &jobs).await.unwrap();
        pool.close().await;
        let (scanned, blocks) = read(&db, 100_500).await;
        assert_eq!(scanned - before.0, 0, "believed empty: {believed_empty}");
        let blocks = blocks - before.1;
        assert!(
            blocks < 500 * 40,
            "{blocks} blocks, believed empty: {believed_empty}"
        );
    }
}

/// Rows of `idem_keys` that were read by sequential scans, and blocks, once the server knows of this
/// number of rows. Sessions that made the empty table report late, and have read no rows.
async fn read(db: &Db, rows: i64) -> (i64, i64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    db.pool.close().await;
    let pool = pool_with(db, &[]).await;
    loop {
        let (inserted, scanned, blocks): (i64, i64, i64) = sqlx::query_as(
            "SELECT n_tup_ins, seq_tup_read, (heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::bigint \
             FROM pg_stat_user_tables JOIN pg_statio_user_tables USING (relid) \
             WHERE pg_stat_user_tables.relname = 'idem_keys'",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        if inserted >= rows {
            return (scanned, blocks);
        }
        assert!(Instant::now() < deadline, "{inserted} of {rows} rows");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
