//! Calls as SQLite's hooks report them.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::sync::Arc;

use idem_runtime::Begin;
use sqlx::sqlite::{SqliteConnection, SqliteOperation};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqlitePool, raw_sql};

use super::Explorable;
use crate::checkpoints::Checkpoints;
use crate::fault::FaultKind;
use crate::fault_proxy::Protocol;

impl Explorable for Sqlite {
    const PROTOCOL: Option<Protocol> = None;

    const FAULT_KINDS: &'static [FaultKind] = &[
        FaultKind::FailedWrite,
        FaultKind::Interrupted,
        FaultKind::DroppedMidStatement,
        FaultKind::Dropped,
        FaultKind::Sequential,
        FaultKind::Concurrent,
        FaultKind::Killed,
    ];

    fn begin(pool: &SqlitePool) -> impl Begin<SqliteConnection> {
        pool
    }

    async fn watch(
        conn: &mut SqliteConnection,
        checkpoints: Arc<Checkpoints>,
    ) -> Result<(), sqlx::Error> {
        fail_by_triggers(conn, &checkpoints).await?;
        let mut handle = conn.lock_handle().await?;
        let seen = Arc::clone(&checkpoints);
        handle.set_update_hook(move |change| {
            seen.note(|| match change.operation {
                SqliteOperation::Insert => format!("INSERT INTO {}", change.table),
                SqliteOperation::Update => format!("UPDATE {}", change.table),
                SqliteOperation::Delete => format!("DELETE FROM {}", change.table),
                SqliteOperation::Unknown(_) => format!("a change of {}", change.table),
            });
        });
        let seen = Arc::clone(&checkpoints);
        handle.set_commit_hook(move || {
            seen.note(|| "COMMIT".into());
            true
        });
        let seen = Arc::clone(&checkpoints);
        handle.set_rollback_hook(move || seen.note(|| "ROLLBACK".into()));
        handle.set_progress_handler(1, move || checkpoints.pass());
        Ok(())
    }
}

/// Asks before each row is written whether the write is to fail.
///
/// A trigger can fail a write, and it can ask by a comparison with a collation of our own. Both
/// belong to this connection alone.
async fn fail_by_triggers(
    conn: &mut SqliteConnection,
    checkpoints: &Arc<Checkpoints>,
) -> Result<(), sqlx::Error> {
    let tables = raw_sql(
        "SELECT name FROM main.sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' \
         AND sql NOT LIKE 'CREATE VIRTUAL%'",
    );
    let mut sql = String::new();
    for (number, row) in tables.fetch_all(&mut *conn).await?.iter().enumerate() {
        let table: String = row.try_get(0)?;
        for (operation, write) in [
            ("INSERT", "INSERT INTO"),
            ("UPDATE", "UPDATE"),
            ("DELETE", "DELETE FROM"),
        ] {
            let _ = write!(
                sql,
                "CREATE TEMP TRIGGER idem_fail_{number}_{operation} BEFORE {operation} ON main.\"{}\" \
                 WHEN '{write} {}' = '' COLLATE idem_fails \
                 BEGIN SELECT RAISE(ABORT, 'failed by the explorer'); END; ",
                table.replace('"', "\"\""),
                table.replace('\'', "''"),
            );
        }
    }
    let asked = Arc::clone(checkpoints);
    conn.lock_handle()
        .await?
        .create_collation("idem_fails", move |one, other| {
            let what = if one.is_empty() { other } else { one };
            if asked.write(what) {
                Ordering::Less
            } else {
                Ordering::Equal
            }
        })?;
    raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}
