//! Messages that wait in this database.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row as _, Sqlite};
use uuid::Uuid;

use super::LONGEST_STATEMENT;
use super::literal::{NOW, bytes, optional, text};
use super::round_trip::{fetch_all, fetch_last};
use super::stored_row::stored;
use super::transaction::{begin, end};
use crate::store::Home;
use crate::store::inbox_store::{InboxName, InboxStore, Lane, PARKED, TakenMessage, lane};
use crate::store::kept_message::{KeptMessage, MessageId};
use crate::store::outbox_store::list;
use crate::store::verdict::fits;

/// What a message is in a statement.
pub(super) const COLUMNS: &str =
    "source, id, topic, key, type, payload, content_type, headers, created_at";

impl InboxStore for Sqlite {
    async fn add(
        conn: &mut SqliteConnection,
        _: &Home,
        inbox: InboxName<'_>,
        messages: &[KeptMessage],
        due: Duration,
    ) -> Result<u64, sqlx::Error> {
        let mut sql = String::new();
        for kept in messages {
            let lane = kept.key.as_deref().map(lane);
            if inbox.origin == PARKED {
                // What is remembered as done would keep out what must wait again.
                let _ = write!(
                    sql,
                    "DELETE FROM idem_inbox WHERE origin = '{PARKED}' AND name = {} AND source = {} AND id = {} \
                     AND done_at IS NOT NULL; ",
                    text(inbox.name),
                    text(&kept.message.source),
                    text(&kept.message.id),
                );
            }
            let _ = write!(
                sql,
                "INSERT INTO idem_inbox (origin, name, lane, due_at, {COLUMNS}) \
                 VALUES ('{}', {}, {}, {NOW} + {}, {}) ON CONFLICT DO NOTHING RETURNING 1; ",
                inbox.origin,
                text(inbox.name),
                optional(lane.as_ref().map(<[u8; 16]>::as_slice)),
                due.as_micros(),
                values(kept),
            );
        }
        fits(sql.len(), LONGEST_STATEMENT)?;
        Ok(write_all(conn, sql).await?.len() as u64)
    }

    async fn take(
        conn: &mut SqliteConnection,
        _: &Home,
        inbox: InboxName<'_>,
        owner: Uuid,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<TakenMessage>, sqlx::Error> {
        // To look costs no write. The indexes are named, since without statistics SQLite reads all that
        // waits for each row.
        let due = format!(
            "SELECT seq FROM idem_inbox AS one INDEXED BY idem_inbox_waiting WHERE {} AND {} \
             AND NOT EXISTS (SELECT 1 FROM idem_inbox AS before INDEXED BY idem_inbox_lane WHERE {} AND before.lane = one.lane AND before.seq < one.seq) \
             ORDER BY seq LIMIT {limit}",
            is_waiting("one", inbox),
            can_be_taken("one"),
            is_waiting("before", inbox),
        );
        take_these(conn, due, owner, lease).await
    }

    async fn take_lanes(
        conn: &mut SqliteConnection,
        _: &Home,
        inbox: InboxName<'_>,
        owner: Uuid,
        lease: Duration,
        lanes: &[Lane],
        each: u32,
    ) -> Result<Vec<TakenMessage>, sqlx::Error> {
        let of_lane = |lane: &Lane| {
            format!(
                "SELECT seq FROM (SELECT seq, min({}) OVER (ORDER BY seq) AS is_open FROM (SELECT seq, due_at, until \
                   FROM idem_inbox AS one INDEXED BY idem_inbox_lane WHERE {} AND one.lane = {} ORDER BY seq LIMIT {each}) AS one) \
                 WHERE is_open",
                can_be_taken("one"),
                is_waiting("one", inbox),
                bytes(lane)
            )
        };
        let first: Vec<_> = lanes.iter().map(of_lane).collect();
        take_these(conn, first.join(" UNION ALL "), owner, lease).await
    }

    async fn renew(
        conn: &mut SqliteConnection,
        _: &Home,
        seq: i64,
        owner: Uuid,
        lease: Duration,
    ) -> Result<bool, sqlx::Error> {
        let until = format!("until = {NOW} + {}", lease.as_micros());
        update(conn, seq, owner, &until).await
    }

    async fn mark_done(
        conn: &mut SqliteConnection,
        _: &Home,
        seqs: &[i64],
        owner: Uuid,
    ) -> Result<Vec<i64>, sqlx::Error> {
        let sql = format!(
            "UPDATE idem_inbox SET done_at = {NOW}, payload = X'', headers = '{{}}', owner = NULL, until = NULL \
             WHERE {} RETURNING seq",
            still_ours(seqs, owner)
        );
        let rows = write_all(conn, sql).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    async fn reject(
        conn: &mut SqliteConnection,
        _: &Home,
        seq: i64,
        owner: Uuid,
    ) -> Result<bool, sqlx::Error> {
        let done = format!("done_at = {NOW}, owner = NULL, until = NULL");
        update(conn, seq, owner, &done).await
    }

    async fn release(
        conn: &mut SqliteConnection,
        _: &Home,
        seq: i64,
        owner: Uuid,
        due: Duration,
    ) -> Result<bool, sqlx::Error> {
        let released = format!(
            "owner = NULL, until = NULL, due_at = {NOW} + {}",
            due.as_micros()
        );
        update(conn, seq, owner, &released).await
    }

    async fn put_back(
        conn: &mut SqliteConnection,
        _: &Home,
        seqs: &[i64],
        owner: Uuid,
    ) -> Result<(), sqlx::Error> {
        if seqs.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "UPDATE idem_inbox SET owner = NULL, until = NULL, taken = taken - 1 WHERE {}",
            still_ours(seqs, owner)
        );
        write_all(conn, sql).await.map(drop)
    }

    async fn waiting(
        conn: &mut SqliteConnection,
        _: &Home,
        inbox: InboxName<'_>,
        limit: u32,
    ) -> Result<(u64, Vec<Lane>), sqlx::Error> {
        let sql = format!(
            "SELECT lane FROM idem_inbox AS message WHERE {} LIMIT {limit}",
            is_waiting("message", inbox),
        );
        let rows = fetch_all(conn, sql).await?;
        let mut lanes = Vec::new();
        for row in &rows {
            let lane: Option<Vec<u8>> = row.try_get(0)?;
            lanes.extend(lane.and_then(|lane| Lane::try_from(lane).ok()));
        }
        Ok((rows.len() as u64, lanes))
    }
}

/// The values of [`COLUMNS`].
pub(super) fn values(kept: &KeptMessage) -> String {
    format!(
        "{}, {}, {}, {}, {}, {}, {}, {}, {}",
        text(&kept.message.source),
        text(&kept.message.id),
        text(&kept.topic),
        kept.key.as_deref().map_or_else(|| "NULL".into(), text),
        text(&kept.kind),
        bytes(&kept.payload),
        text(&kept.content_type),
        text(&kept.headers_json()),
        kept.micros(),
    )
}

/// All of it, or nothing.
pub(super) async fn write_all(
    conn: &mut SqliteConnection,
    sql: String,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    begin(conn).await?;
    let done = fetch_all(conn, sql).await;
    end(conn, done).await
}

fn is_waiting(row: &str, inbox: InboxName<'_>) -> String {
    format!(
        "{row}.origin = '{}' AND {row}.name = {} AND {row}.done_at IS NULL",
        inbox.origin,
        text(inbox.name)
    )
}

/// Whether it is due, and nobody has it.
fn can_be_taken(row: &str) -> String {
    format!("({row}.due_at <= {NOW} AND ({row}.until IS NULL OR {row}.until <= {NOW}))")
}

fn still_ours(seqs: &[i64], owner: Uuid) -> String {
    format!(
        "seq IN ({}) AND owner = {} AND done_at IS NULL",
        list(seqs.iter().copied()),
        bytes(owner.as_bytes())
    )
}

/// Takes what this statement finds, in order.
async fn take_these(
    conn: &mut SqliteConnection,
    find: String,
    owner: Uuid,
    lease: Duration,
) -> Result<Vec<TakenMessage>, sqlx::Error> {
    if fetch_all(conn, find.clone()).await?.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "UPDATE idem_inbox SET owner = {}, until = {NOW} + {}, taken = taken + 1 WHERE seq IN ({find}) \
         RETURNING seq, taken, source, id, topic, key, type, payload, content_type, headers, created_at",
        bytes(owner.as_bytes()),
        lease.as_micros(),
    );
    let rows = write_all(conn, sql).await?;
    let mut taken: Vec<_> = rows.iter().map(message).collect::<Result<_, _>>()?;
    taken.sort_unstable_by_key(|message: &TakenMessage| message.seq);
    Ok(taken)
}

/// Changes a message that is still this owner's.
async fn update(
    conn: &mut SqliteConnection,
    seq: i64,
    owner: Uuid,
    set: &str,
) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "UPDATE idem_inbox SET {set} WHERE seq = {seq} AND owner = {} AND done_at IS NULL RETURNING 1",
        bytes(owner.as_bytes())
    );
    Ok(fetch_last(conn, sql).await?.is_some())
}

fn message(row: &SqliteRow) -> Result<TakenMessage, sqlx::Error> {
    Ok(TakenMessage {
        seq: row.try_get(0)?,
        taken: row.try_get(1)?,
        kept: kept(row, 2)?,
    })
}

/// Reads `source, id` and what [`stored`] reads.
pub(super) fn kept(row: &SqliteRow, first: usize) -> Result<KeptMessage, sqlx::Error> {
    let message = MessageId {
        source: row.try_get(first)?,
        id: row.try_get(first + 1)?,
    };
    let content = stored(row, Uuid::nil(), first + 2)?.into_readable();
    Ok(KeptMessage::of_row(message, content))
}
