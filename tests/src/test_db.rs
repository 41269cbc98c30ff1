//! A database of a test's own with a pool of it: the same for every database.
//!
//! ```no_run
//! use idem_tests::TestDb;
//!
//! # async fn example() {
//! let db = TestDb::<sqlx::Postgres>::empty(4).await;
//! db.migrate().await;
//! db.execute("CREATE TABLE effects (id text NOT NULL)").await;
//! let another_process = db.another_pool(2).await;
//! assert_eq!(db.number("SELECT count(*) FROM effects").await, 0);
//! # }
//! ```

use std::str::FromStr;

use sqlx::pool::PoolOptions;
use sqlx::{Connection, Database, Pool};

use crate::server;

mod mariadb;
mod postgres;
mod sqlite;

/// How a connection to `DB` is made.
pub type ConnectOptions<DB> = <<DB as Database>::Connection as Connection>::Options;

/// What [`TestDb`] needs of a database.
pub trait TestDatabase:
    Database<Connection: Connection<Options: FromStr<Err = sqlx::Error>>>
{
    /// A new database on the server that the tests of this process share.
    fn create() -> impl Future<Output = server::Database> + Send;

    /// How to connect to it.
    fn options(url: &str) -> ConnectOptions<Self> {
        url.parse().expect("it is a URL of this database")
    }

    /// Runs statements that give no rows.
    fn execute(pool: &Pool<Self>, sql: String) -> impl Future<Output = ()> + Send;

    /// The first column of each row, as numbers.
    fn numbers(pool: &Pool<Self>, sql: String) -> impl Future<Output = Vec<i64>> + Send;

    /// The first column of each row, as text.
    fn texts(pool: &Pool<Self>, sql: String) -> impl Future<Output = Vec<String>> + Send;

    /// Creates our tables.
    fn migrate(pool: &Pool<Self>) -> impl Future<Output = ()> + Send;

    /// Waits until no transaction is open on this database, with a deadline.
    fn assert_no_open_transaction(db: &TestDb<Self>) -> impl Future<Output = ()> + Send;
}

/// The queries of [`TestDatabase`]. sqlx's bounds for them can't be named once for all databases.
macro_rules! queries {
    () => {
        async fn execute(pool: &Pool<Self>, sql: String) {
            let done = raw_sql(AssertSqlSafe(sql)).execute(pool).await;
            done.unwrap();
        }

        async fn numbers(pool: &Pool<Self>, sql: String) -> Vec<i64> {
            let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        }

        async fn texts(pool: &Pool<Self>, sql: String) -> Vec<String> {
            let rows = raw_sql(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        }

        async fn migrate(pool: &Pool<Self>) {
            idem_runtime::migrate(pool).await.unwrap();
        }
    };
}
use queries;

/// A database of a test's own. It is dropped with this value.
#[derive(Debug)]
pub struct TestDb<DB: Database> {
    /// A pool of it.
    pub pool: Pool<DB>,
    options: ConnectOptions<DB>,
    database: server::Database,
}

impl<DB: TestDatabase> TestDb<DB> {
    /// An empty database, and a pool of this many connections.
    pub async fn empty(connections: u32) -> Self {
        Self::on(DB::create().await, connections).await
    }

    /// An empty database on another server than the one that the tests share.
    pub async fn on(database: server::Database, connections: u32) -> Self {
        let options = DB::options(database.url());
        Self::with(database, options, connections).await
    }

    /// The same, with connections made as `options` say.
    pub async fn with(
        database: server::Database,
        options: ConnectOptions<DB>,
        connections: u32,
    ) -> Self {
        Self {
            pool: connect(options.clone(), connections).await,
            options,
            database,
        }
    }

    /// Creates our tables.
    pub async fn migrate(&self) {
        if self.database.url() == self.database.direct_url() {
            return DB::migrate(&self.pool).await;
        }
        // Migrations take a lock of the session, which a pooler does not keep.
        let direct = connect(DB::options(self.database.direct_url()), 1).await;
        DB::migrate(&direct).await;
        direct.close().await;
    }

    /// A pool of its own, as another process has it.
    pub async fn another_pool(&self, connections: u32) -> Pool<DB> {
        connect(self.options.clone(), connections).await
    }

    /// A pool of the database at this URL, for a process that did not create it.
    pub async fn pool_of(url: &str, connections: u32) -> Pool<DB> {
        connect(DB::options(url), connections).await
    }

    /// How the pools connect.
    pub fn options(&self) -> ConnectOptions<DB> {
        self.options.clone()
    }

    /// Where the database is.
    pub fn database(&self) -> &server::Database {
        &self.database
    }

    /// Runs statements that give no rows.
    pub async fn execute(&self, sql: &str) {
        DB::execute(&self.pool, sql.to_owned()).await;
    }

    /// The one number that a query gives.
    ///
    /// # Panics
    ///
    /// When it gives another number of rows.
    pub async fn number(&self, sql: &str) -> i64 {
        match DB::numbers(&self.pool, sql.to_owned()).await[..] {
            [number] => number,
            ref other => panic!("not one number of {sql}: {other:?}"),
        }
    }

    /// The first column of each row, as text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        DB::texts(&self.pool, sql.to_owned()).await
    }

    /// The committed rows of the table `effects`, sorted.
    pub async fn effects(&self) -> Vec<String> {
        self.texts("SELECT id FROM effects ORDER BY id").await
    }

    /// Waits until no transaction is open.
    ///
    /// # Panics
    ///
    /// When one is still open at the deadline.
    pub async fn assert_no_open_transaction(&self) {
        DB::assert_no_open_transaction(self).await;
    }
}

async fn connect<DB: TestDatabase>(options: ConnectOptions<DB>, connections: u32) -> Pool<DB> {
    let pool = PoolOptions::new().max_connections(connections);
    pool.connect_with(options).await.unwrap()
}
