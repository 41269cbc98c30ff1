//! The table of relays.

use std::fmt::Write as _;

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::literal::{NOW, bytes, text};
use super::round_trip::{execute, fetch_all};
use super::session::{DATABASE, clean_up, is_gone};
use super::stored_row::uuid;
use super::transaction::{begin, end};
use crate::shard::ShardSet;
use crate::store::outbox_store::list;
use crate::store::{Changes, Member, Topics};

/// A relay, and where its session left its file.
struct Relay {
    member: Member,
    session: Option<String>,
    database: String,
}

pub(super) async fn members(conn: &mut SqliteConnection) -> Result<Vec<Member>, sqlx::Error> {
    let relays = relays(conn).await?;
    Ok(relays.into_iter().map(|relay| relay.member).collect())
}

pub(super) async fn coordinate<T: Send>(
    conn: &mut SqliteConnection,
    decide: impl FnOnce(&[Member]) -> (Changes, T) + Send,
) -> Result<T, sqlx::Error> {
    begin(conn).await?;
    let done = coordinate_in(conn, decide).await;
    let (decided, removed) = end(conn, done).await?;
    for relay in removed {
        if let Some(session) = relay.session {
            clean_up(&relay.database, &session);
        }
    }
    Ok(decided)
}

async fn coordinate_in<T>(
    conn: &mut SqliteConnection,
    decide: impl FnOnce(&[Member]) -> (Changes, T) + Send,
) -> Result<(T, Vec<Relay>), sqlx::Error> {
    let mut relays = relays(conn).await?;
    let members: Vec<Member> = relays.iter().map(|relay| relay.member.clone()).collect();
    let (changes, decided) = decide(&members);
    let sql = changes_sql(&changes);
    if !sql.is_empty() {
        execute(conn, sql).await?;
    }
    relays.retain(|relay| changes.remove.contains(&relay.member.owner));
    Ok((decided, relays))
}

async fn relays(conn: &mut SqliteConnection) -> Result<Vec<Relay>, sqlx::Error> {
    let sql = format!(
        "SELECT target, owner, topics, shards, until > {NOW}, session, {DATABASE} FROM idem_relays"
    );
    let rows = fetch_all(conn, sql).await?;
    rows.iter().map(relay).collect()
}

fn relay(row: &SqliteRow) -> Result<Relay, sqlx::Error> {
    let session: Option<String> = row.try_get(5)?;
    let database = row.try_get::<Option<String>, _>(6)?.unwrap_or_default();
    let is_gone = session
        .as_deref()
        .is_some_and(|session| is_gone(&database, session));
    Ok(Relay {
        member: Member {
            target: row.try_get(0)?,
            owner: uuid(row, 1)?,
            topics: Topics::from_column(row.try_get(2)?),
            shards: ShardSet::from_bits(row.try_get(3)?),
            is_alive: row.try_get(4)? && !is_gone,
        },
        session,
        database,
    })
}

fn changes_sql(changes: &Changes) -> String {
    let mut sql = String::new();
    if !changes.remove.is_empty() {
        let _ = write!(
            sql,
            "DELETE FROM idem_relays WHERE owner IN ({}); ",
            list(changes.remove.iter().map(|owner| bytes(owner.as_bytes())))
        );
    }
    if let Some(relay) = &changes.put {
        let _ = write!(
            sql,
            "INSERT OR REPLACE INTO idem_relays (owner, target, session, topics, shards, until) \
             VALUES ({}, {}, {}, {}, {}, {NOW} + {})",
            bytes(relay.owner.as_bytes()),
            text(&relay.target),
            relay.session.as_deref().map_or_else(|| "NULL".into(), text),
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
