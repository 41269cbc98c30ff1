//! The table of relays.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::mysql::{MySqlConnection, MySqlRow};

use super::literal::{bytes, optional, text};
use super::round_trip::{END_READ, READ_COMMITTED, execute};
use super::session::{LOCK_NAME, SERVER};
use super::stored_row::{lossy, uuid};
use super::transaction::{BEGIN, run};
use crate::shard::ShardSet;
use crate::store::outbox_store::list;
use crate::store::verdict::verdict;
use crate::store::{Changes, ErrorClass, Home, Member, Topics};

/// How long a relay waits for another one that decides, and how long one may take for it. The server
/// closes the connection of a process that was stopped in the middle.
const TURN: Duration = Duration::from_secs(10);

/// A name that can't be a lock's would fail the statement. On another server locks can't be seen.
fn members_sql() -> String {
    let session = "CONVERT(session USING utf8mb4)";
    format!(
        "SELECT target, owner, CAST(topics AS BINARY), shards, `until` > UTC_TIMESTAMP(6) AND CASE \
         WHEN session IS NULL OR SUBSTRING_INDEX({session}, ' ', 1) <> {SERVER} THEN TRUE \
         WHEN SUBSTRING_INDEX({session}, ' ', -1) REGEXP '{LOCK_NAME}' \
         THEN IS_USED_LOCK(SUBSTRING_INDEX({session}, ' ', -1)) IS NOT NULL ELSE TRUE END FROM idem_relays"
    )
}

pub(super) async fn members(conn: &mut MySqlConnection) -> Result<Vec<Member>, sqlx::Error> {
    let sql = format!("{READ_COMMITTED}; {}{END_READ}", members_sql());
    let rows = run(conn, sql).await?;
    rows.iter().map(member).collect()
}

/// The turns of relays are a lock of the server and not that of a row: the rows that all relays
/// could lock are those that handlers read, and that would have them wait for each other.
pub(super) async fn coordinate<T: Send>(
    conn: &mut MySqlConnection,
    home: &Home,
    decide: impl FnOnce(&[Member]) -> (Changes, T) + Send,
) -> Result<T, sqlx::Error> {
    let turn = format!("idem_relays_{}", home.namespace.simple());
    let done = coordinate_in(conn, &turn, decide).await;
    if done.as_ref().is_err_and(is_answered) {
        let sql = format!("ROLLBACK; {}", end_turn(&turn));
        execute(conn, sql)
            .await
            .map_err(|_| sqlx::Error::WorkerCrashed)?;
    }
    done
}

async fn coordinate_in<T>(
    conn: &mut MySqlConnection,
    turn: &str,
    decide: impl FnOnce(&[Member]) -> (Changes, T) + Send,
) -> Result<T, sqlx::Error> {
    let begin = format!(
        "SET @idem_idle = @@wait_timeout, wait_timeout = {seconds}; {BEGIN}SELECT GET_LOCK('{turn}', {seconds}); {}",
        members_sql(),
        seconds = TURN.as_secs(),
    );
    let rows = run(conn, begin).await?;
    let (locked, relays) = rows.split_first().ok_or(sqlx::Error::RowNotFound)?;
    if locked.try_get::<Option<i64>, _>(0)? != Some(1) {
        return Err(verdict(ErrorClass::TimedOut));
    }
    let members: Vec<Member> = relays.iter().map(member).collect::<Result<_, _>>()?;
    let (changes, decided) = decide(&members);
    let sql = format!("{}COMMIT; {}", changes_sql(&changes), end_turn(turn));
    run(conn, sql).await?;
    Ok(decided)
}

/// Whether the connection is still of use.
fn is_answered(error: &sqlx::Error) -> bool {
    use sqlx::Error::{AnyDriverError, ColumnDecode, Database, Decode};
    matches!(
        error,
        Database(_) | AnyDriverError(_) | Decode(_) | ColumnDecode { .. }
    )
}

fn end_turn(turn: &str) -> String {
    format!("DO RELEASE_LOCK('{turn}'); SET wait_timeout = @idem_idle")
}

fn member(row: &MySqlRow) -> Result<Member, sqlx::Error> {
    let topics: Option<Vec<u8>> = row.try_get(2)?;
    let topics = topics.map(|topics| String::from_utf8_lossy(&topics).into_owned());
    Ok(Member {
        target: lossy(row, 0)?,
        owner: uuid(row.try_get(1)?)?,
        topics: Topics::from_column(topics.as_deref()),
        shards: ShardSet::from_bits(row.try_get(3)?),
        is_alive: row.try_get::<i64, _>(4)? == 1,
    })
}

fn changes_sql(changes: &Changes) -> String {
    let mut sql = String::new();
    if !changes.remove.is_empty() {
        let removed = changes.remove.iter();
        let removed = list(removed.map(|owner| bytes(owner.as_bytes())));
        let _ = write!(sql, "DELETE FROM idem_relays WHERE owner IN ({removed}); ");
    }
    if let Some(relay) = &changes.put {
        let _ = write!(
            sql,
            "REPLACE INTO idem_relays (owner, target, session, topics, shards, `until`) \
             VALUES ({}, {}, {}, {}, {}, UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND); ",
            bytes(relay.owner.as_bytes()),
            bytes(relay.target.as_bytes()),
            optional(relay.session.as_deref().map(str::as_bytes)),
            relay
                .topics
                .to_column()
                .map_or_else(|| "NULL".into(), |topics| text(&topics)),
            relay.shards.bits(),
            relay.lease.as_micros(),
        );
    }
    sql
}
