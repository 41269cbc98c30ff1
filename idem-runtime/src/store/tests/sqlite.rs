use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqlitePool, raw_sql};
use uuid::Uuid;

use super::{Store as _, TestDatabase, TestStore, every_suite};

impl TestDatabase for Sqlite {
    async fn create() -> TestStore<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("outbox.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let pool = SqlitePoolOptions::new().connect_with(options);
        let pool = pool.await.unwrap();
        Sqlite::migrate(&pool).await.unwrap();
        let home = Sqlite::find_home(&mut *pool.acquire().await.unwrap()).await;
        TestStore {
            home: home.unwrap(),
            pool,
            _kept: Box::new(folder),
        }
    }

    async fn run(pool: &SqlitePool, sql: String) -> Vec<i64> {
        let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await;
        rows.unwrap().iter().map(|row| row.get(0)).collect()
    }

    fn id(id: Uuid) -> String {
        format!("X'{}'", id.simple())
    }
}

every_suite!(Sqlite);
