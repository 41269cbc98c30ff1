//! MariaDB.

use idem_runtime::migrate;
use idem_tests::server::{self, Database};
use sqlx::{Executor as _, MySql, MySqlPool};

use crate::suite;

pub(crate) const TABLES: &str = "
CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL);
INSERT INTO accounts VALUES (1, 100), (2, 200);
CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, account INT NOT NULL, note VARCHAR(50) NOT NULL,
    created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, FOREIGN KEY (account) REFERENCES accounts (id));";

pub(crate) async fn database() -> Database {
    let database = server::mariadb().database().await;
    let pool = MySqlPool::connect(database.url()).await.unwrap();
    migrate(&pool).await.unwrap();
    pool.execute(TABLES).await.unwrap();
    pool.close().await;
    database
}

#[tokio::test]
async fn a_copy_shows_what_was_done_to_it_and_to_no_other() {
    let database = database().await;
    suite::a_copy_shows_what_was_done_to_it_and_to_no_other::<MySql>(database.url()).await;
}
