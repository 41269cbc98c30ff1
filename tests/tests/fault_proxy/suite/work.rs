//! What the tests run.

use std::time::Duration;

use idem_testing::__internals::{InjectedError, ProxyFault, Step, StepKind};
use sqlx::{Connection as _, Executor as _};

use super::{Conn, ProxiedDb};

pub(crate) const WITHIN: Duration = Duration::from_mins(1);
pub(crate) const CUTS: [ProxyFault; 3] = [
    ProxyFault::CutRequest,
    ProxyFault::CutReply,
    ProxyFault::TruncateReply,
];
pub(crate) const INJECTED_ERRORS: [InjectedError; 2] =
    [InjectedError::SerializationFailure, InjectedError::Deadlock];

/// How many round trips [`transaction`] takes on a new connection.
pub(crate) const STEPS: u64 = 7;

/// Five statements: by text, prepared, with rows.
pub(crate) async fn transaction(conn: &mut Conn) -> sqlx::Result<()> {
    let mut tx = conn.begin().await?;
    tx.execute("INSERT INTO t VALUES (1)").await?;
    sqlx::query(ProxiedDb::INSERT)
        .bind(2)
        .execute(&mut *tx)
        .await?;
    let rows: Vec<i32> = sqlx::query_scalar("SELECT x FROM t ORDER BY x")
        .fetch_all(&mut *tx)
        .await?;
    assert_eq!(rows, [1, 2]);
    tx.commit().await
}

pub(crate) async fn run(conn: &mut Conn, sql: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(sql).execute(conn).await.map(drop)
}

pub(crate) fn shown(steps: &[Step]) -> Vec<(StepKind, Option<&str>)> {
    steps
        .iter()
        .map(|step| (step.kind, step.sql.as_deref()))
        .collect()
}
