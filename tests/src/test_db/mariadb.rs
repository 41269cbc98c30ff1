//! MariaDB.

use sqlx::{AssertSqlSafe, MySql, Pool, Row as _, raw_sql};

use super::{TestDatabase, TestDb, queries};
use crate::{at_rest, server};

impl TestDatabase for MySql {
    async fn create() -> server::Database {
        server::mariadb().database().await
    }

    queries!();

    async fn assert_no_open_transaction(db: &TestDb<Self>) {
        at_rest::mariadb(db.database().url()).await;
    }
}
