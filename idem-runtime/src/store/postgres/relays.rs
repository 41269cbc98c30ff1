//! The table of relays.

use std::fmt::Write as _;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::literal::text;
use super::round_trip::fetch_all;
use super::session::BACKEND_START;
use super::stored_row::{plain, table, uuid};
use crate::shard::ShardSet;
use crate::store::{Changes, Home, Member, Topics};

pub(super) async fn members(
    conn: &mut PgConnection,
    home: &Home,
) -> Result<Vec<Member>, sqlx::Error> {
    // The start of a session is hidden from some roles. Then its process alone says that it lives.
    let sql = format!(
        "SELECT target, owner::text, topics, shards, until > clock_timestamp() AND (session IS NULL OR EXISTS (\
           SELECT FROM pg_stat_activity WHERE pid::text = split_part(session, ' ', 1) \
           AND coalesce({BACKEND_START} = split_part(session, ' ', 2), true))) \
         FROM {}",
        table(home, "idem_relays"),
    );
    let rows = fetch_all(conn, sql).await?;
    rows.iter().map(member).collect()
}

pub(super) async fn coordinate<T: Send>(
    conn: &mut PgConnection,
    home: &Home,
    decide: impl FnOnce(&[Member]) -> (Changes, T) + Send,
) -> Result<T, sqlx::Error> {
    // Whoever waited must see what the one before it decided. The server ends the session of a
    // process that was stopped in the middle.
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '10s'; \
         SET LOCAL client_encoding = 'UTF8'; SELECT pg_advisory_xact_lock({})",
        lock(home)
    );
    let mut tx = conn.begin_with(AssertSqlSafe(begin)).await?;
    let members = members(&mut tx, home).await?;
    let (changes, decided) = decide(&members);
    let sql = changes_sql(home, &changes);
    if !sql.is_empty() {
        fetch_all(&mut tx, sql).await?;
    }
    tx.commit().await?;
    Ok(decided)
}

/// The advisory lock of the relays of one outbox.
fn lock(home: &Home) -> i64 {
    let (first, second) = home.namespace.as_u64_pair();
    (first ^ second).cast_signed()
}

fn member(row: &PgRow) -> Result<Member, sqlx::Error> {
    Ok(Member {
        target: row.try_get(0)?,
        owner: uuid(row, 1)?,
        topics: Topics::from_column(row.try_get(2)?),
        shards: ShardSet::from_bits(row.try_get(3)?),
        is_alive: row.try_get(4)?,
    })
}

fn changes_sql(home: &Home, changes: &Changes) -> String {
    let relays = table(home, "idem_relays");
    let mut sql = String::new();
    if !changes.remove.is_empty() {
        let removed = plain(&changes.remove);
        let _ = write!(
            sql,
            "DELETE FROM {relays} WHERE owner = ANY ({removed}::uuid[]); "
        );
    }
    if let Some(relay) = &changes.put {
        let optional = |value: Option<&str>| value.map_or_else(|| "NULL".into(), text);
        let _ = write!(
            sql,
            "INSERT INTO {relays} (owner, target, session, topics, shards, until) \
             VALUES ('{}', {}, {}, {}, '{}', clock_timestamp() + {} * interval '1 microsecond') \
             ON CONFLICT (owner) DO UPDATE SET target = excluded.target, session = excluded.session, \
             topics = excluded.topics, shards = excluded.shards, until = excluded.until",
            relay.owner,
            text(&relay.target),
            optional(relay.session.as_deref()),
            optional(relay.topics.to_column().as_deref()),
            relay.shards.bits(),
            relay.lease.as_micros(),
        );
    }
    sql
}
