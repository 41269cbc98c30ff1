//! PostgreSQL.

use idem_runtime::migrate;
use idem_tests::server::{self, Database};
use sqlx::{Executor as _, PgPool, Postgres};

use crate::suite;

pub(crate) const TABLES: &str = "
CREATE TABLE accounts (id integer PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO accounts VALUES (1, 100), (2, 200);
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account integer NOT NULL REFERENCES accounts,
    note text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());";

pub(crate) async fn database() -> Database {
    let database = server::postgres().database().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    migrate(&pool).await.unwrap();
    pool.execute(TABLES).await.unwrap();
    pool.close().await;
    database
}

#[tokio::test]
async fn a_copy_shows_what_was_done_to_it_and_to_no_other() {
    let database = database().await;
    suite::a_copy_shows_what_was_done_to_it_and_to_no_other::<Postgres>(database.url()).await;
}
