//! The laws, for the database of the module that includes this folder.

mod drops;
mod duplicates;
mod emissions;
mod failures;
mod nested;
mod sizes;
mod transactions;

use std::sync::Arc;

use idem_runtime::idempotent;
use sqlx::{AssertSqlSafe, Row as _, raw_sql};
use tokio::sync::Semaphore;

use super::{
    BREAK_CONNECTION, Conn, DEADLOCK, Database, LENIENT, Pool, ROUNDS, STATEMENT_LIMIT, start,
    text_as_bytes,
};

/// A delivery, and what its handler does besides its effect.
#[derive(Clone, Debug)]
struct Order {
    id: String,
    deeds: Vec<Deed>,
}

#[derive(Clone, Debug)]
enum Deed {
    /// Runs a statement.
    Sql(&'static str),
    /// Runs a statement and ignores its error.
    Swallowed(&'static str),
    /// Begins a nested transaction and forgets it.
    LeakNested,
    /// Says that it is here, and waits to be let on.
    Meet(Arc<Semaphore>, Arc<Semaphore>),
    Fail,
    Panic,
}

impl Order {
    fn new(id: &str, deeds: impl Into<Vec<Deed>>) -> Self {
        Self {
            id: id.into(),
            deeds: deeds.into(),
        }
    }

    fn plain(id: &str) -> Self {
        Self::new(id, [])
    }
}

#[idempotent(key = "order.id", scope = "laws.apply", in_flight = "wait 20s")]
async fn apply(tx: &mut Conn, order: &Order) -> Result<i64, sqlx::Error> {
    perform(tx, order).await
}

async fn perform(tx: &mut Conn, order: &Order) -> Result<i64, sqlx::Error> {
    sql(
        tx,
        &format!("INSERT INTO effects (id) VALUES ('{}')", order.id),
    )
    .await?;
    for deed in &order.deeds {
        match deed {
            Deed::Sql(text) => sql(tx, text).await?,
            Deed::Swallowed(text) => drop(sql(tx, text).await),
            Deed::LeakNested => std::mem::forget(sqlx::Connection::begin(&mut *tx).await?),
            Deed::Meet(here, go_on) => {
                here.add_permits(1);
                go_on.acquire().await.expect("never closed").forget();
            }
            Deed::Fail => return Err(sqlx::Error::RowNotFound),
            Deed::Panic => panic!("the handler panics"),
        }
    }
    Ok(7)
}

async fn sql(conn: &mut Conn, text: &str) -> Result<(), sqlx::Error> {
    raw_sql(AssertSqlSafe(text.to_owned()))
        .execute(conn)
        .await
        .map(drop)
}

async fn count(pool: &Pool, query: &str) -> i64 {
    raw_sql(AssertSqlSafe(query.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap()
        .get(0)
}

async fn effects(pool: &Pool, id: &str) -> i64 {
    count(
        pool,
        &format!("SELECT count(*) FROM effects WHERE id = '{id}'"),
    )
    .await
}

async fn claims(pool: &Pool) -> i64 {
    count(pool, "SELECT count(*) FROM idem_keys").await
}
