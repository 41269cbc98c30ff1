//! Messages that wait in this database.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{MySql, Row as _};
use uuid::Uuid;

use super::literal::{bytes, optional, text};
use super::round_trip::{END_READ, READ_COMMITTED, fits_packet};
use super::stored_row::{columns, lossy, stored};
use super::transaction::{BEGIN, run};
use crate::store::Home;
use crate::store::inbox_store::{
    InboxName, InboxStore, Lane, PARKED, TakenMessage, lane, without_gaps,
};
use crate::store::kept_message::{KeptMessage, MessageId};
use crate::store::outbox_store::list;

/// What a message is in a statement.
pub(super) const COLUMNS: &str =
    "source, id, topic, `key`, type, payload, content_type, headers, created_at";

impl InboxStore for MySql {
    async fn add(
        conn: &mut MySqlConnection,
        _: &Home,
        inbox: InboxName<'_>,
        messages: &[KeptMessage],
        due: Duration,
    ) -> Result<u64, sqlx::Error> {
        let mut begin = BEGIN;
        let mut added = 0;
        // One in a statement: what is there already is told by the number of rows.
        for kept in messages {
            let lane = kept.key.as_deref().map(lane);
            let (name, source, id) = (
                bytes(inbox.name.as_bytes()),
                bytes(kept.message.source.as_bytes()),
                bytes(kept.message.id.as_bytes()),
            );
            // What is remembered as done would keep out what must wait again.
            let forget = if inbox.origin == PARKED {
                format!(
                    "DELETE FROM idem_inbox WHERE id = {id} AND origin = '{PARKED}' AND name = {name} AND source = {source} \
                     AND done_at IS NOT NULL; "
                )
            } else {
                String::new()
            };
            let sql = format!(
                "{begin}{forget}INSERT INTO idem_inbox (origin, name, lane, due_at, {COLUMNS}) \
                 SELECT '{origin}', {name}, {}, UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND, {} FROM DUAL \
                 WHERE NOT EXISTS (SELECT 1 FROM idem_inbox AS known WHERE known.id = {id} AND known.origin = '{origin}' \
                   AND known.name = {name} AND known.source = {source}) \
                 ON DUPLICATE KEY UPDATE idem_inbox.seq = idem_inbox.seq; \
                 SELECT ROW_COUNT()",
                optional(lane.as_ref().map(<[u8; 16]>::as_slice)),
                due.as_micros(),
                values(kept),
                origin = inbox.origin,
            );
            fits_packet(conn, &sql).await?;
            begin = "";
            if let Some(row) = run(conn, sql).await?.last() {
                added += row.try_get::<i64, _>(0)?.max(0).unsigned_abs();
            }
        }
        run(conn, "COMMIT".into()).await?;
        Ok(added)
    }

    async fn take(
        conn: &mut MySqlConnection,
        _: &Home,
        inbox: InboxName<'_>,
        owner: Uuid,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<TakenMessage>, sqlx::Error> {
        // To look takes no lock.
        let due = format!(
            "{READ_COMMITTED}; SELECT one.seq FROM idem_inbox AS one WHERE {} AND {} \
             AND NOT EXISTS (SELECT 1 FROM idem_inbox AS earlier \
               WHERE {} AND earlier.lane = one.lane AND earlier.seq < one.seq) \
             ORDER BY one.seq LIMIT {limit}{END_READ}",
            is_waiting("one", inbox),
            can_be_taken("one"),
            is_waiting("earlier", inbox),
        );
        let rows = run(conn, due).await?;
        let seqs: Vec<i64> = rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        take_these(conn, &seqs, owner, lease).await
    }

    async fn take_lanes(
        conn: &mut MySqlConnection,
        home: &Home,
        inbox: InboxName<'_>,
        owner: Uuid,
        lease: Duration,
        lanes: &[Lane],
        each: u32,
    ) -> Result<Vec<TakenMessage>, sqlx::Error> {
        let of_lane = |lane: &Lane| {
            format!(
                "(SELECT one.seq, one.lane, {} FROM idem_inbox AS one WHERE {} AND one.lane = {} ORDER BY one.seq LIMIT {each})",
                can_be_taken("one"),
                is_waiting("one", inbox),
                bytes(lane)
            )
        };
        let first: Vec<_> = lanes.iter().map(of_lane).collect();
        let first = format!(
            "{READ_COMMITTED}; {} ORDER BY 1{END_READ}",
            first.join(" UNION ALL ")
        );
        let rows = run(conn, first).await?;
        // The next place of each lane. None: it has a message that can't be taken.
        let mut lanes: HashMap<Vec<u8>, Option<u64>> = HashMap::new();
        let mut places = HashMap::with_capacity(rows.len());
        for row in &rows {
            let next = lanes.entry(row.try_get(1)?).or_insert(Some(1));
            if !row.try_get::<bool, _>(2)? {
                *next = None;
            }
            if let Some(place) = next {
                places.insert(row.try_get::<i64, _>(0)?, *place);
                *place += 1;
            }
        }
        let seqs: Vec<_> = places.keys().copied().collect();
        let taken = take_these(conn, &seqs, owner, lease).await?;
        let place = |message: &TakenMessage| places.get(&message.seq).copied().unwrap_or_default();
        let taken = taken.into_iter().map(|message| {
            let place = place(&message);
            (message, place)
        });
        let (taken, back) = without_gaps(taken.collect());
        Self::put_back(conn, home, &back, owner).await?;
        Ok(taken)
    }

    async fn renew(
        conn: &mut MySqlConnection,
        _: &Home,
        seq: i64,
        owner: Uuid,
        lease: Duration,
    ) -> Result<bool, sqlx::Error> {
        let until = format!(
            "`until` = UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND",
            lease.as_micros()
        );
        update(conn, seq, owner, &until).await
    }

    async fn mark_done(
        conn: &mut MySqlConnection,
        _: &Home,
        seqs: &[i64],
        owner: Uuid,
    ) -> Result<Vec<i64>, sqlx::Error> {
        let still_ours = still_ours(seqs, owner);
        // An UPDATE does not say which rows it has changed.
        let sql = format!(
            "{BEGIN}SELECT seq FROM idem_inbox WHERE {still_ours} ORDER BY seq FOR UPDATE; \
             UPDATE idem_inbox SET done_at = UTC_TIMESTAMP(6), payload = '', headers = '{{}}', owner = NULL, `until` = NULL \
             WHERE {still_ours}; COMMIT"
        );
        let rows = run(conn, sql).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    async fn reject(
        conn: &mut MySqlConnection,
        _: &Home,
        seq: i64,
        owner: Uuid,
    ) -> Result<bool, sqlx::Error> {
        let done = "done_at = UTC_TIMESTAMP(6), owner = NULL, `until` = NULL";
        update(conn, seq, owner, done).await
    }

    async fn release(
        conn: &mut MySqlConnection,
        _: &Home,
        seq: i64,
        owner: Uuid,
        due: Duration,
    ) -> Result<bool, sqlx::Error> {
        let released = format!(
            "owner = NULL, `until` = NULL, due_at = UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND",
            due.as_micros()
        );
        update(conn, seq, owner, &released).await
    }

    async fn put_back(
        conn: &mut MySqlConnection,
        _: &Home,
        seqs: &[i64],
        owner: Uuid,
    ) -> Result<(), sqlx::Error> {
        if seqs.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "{BEGIN}UPDATE idem_inbox SET owner = NULL, `until` = NULL, taken = taken - 1 WHERE {}; COMMIT",
            still_ours(seqs, owner)
        );
        run(conn, sql).await.map(drop)
    }

    async fn waiting(
        conn: &mut MySqlConnection,
        _: &Home,
        inbox: InboxName<'_>,
        limit: u32,
    ) -> Result<(u64, Vec<Lane>), sqlx::Error> {
        let sql = format!(
            "{READ_COMMITTED}; SELECT lane FROM idem_inbox AS message WHERE {} LIMIT {limit}{END_READ}",
            is_waiting("message", inbox),
        );
        let rows = run(conn, sql).await?;
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
        "{}, {}, {}, {}, {}, {}, {}, {}, TIMESTAMP '1970-01-01 00:00:00' + INTERVAL {} MICROSECOND",
        bytes(kept.message.source.as_bytes()),
        bytes(kept.message.id.as_bytes()),
        text(&kept.topic),
        optional(kept.key.as_deref().map(str::as_bytes)),
        text(&kept.kind),
        bytes(&kept.payload),
        text(&kept.content_type),
        text(&kept.headers_json()),
        kept.micros(),
    )
}

fn is_waiting(row: &str, inbox: InboxName<'_>) -> String {
    format!(
        "{row}.origin = '{}' AND {row}.name = {} AND {row}.done_at IS NULL",
        inbox.origin,
        bytes(inbox.name.as_bytes())
    )
}

/// Whether it is due, and nobody has it.
fn can_be_taken(row: &str) -> String {
    format!(
        "({row}.due_at <= UTC_TIMESTAMP(6) AND ({row}.`until` IS NULL OR {row}.`until` <= UTC_TIMESTAMP(6)))"
    )
}

fn still_ours(seqs: &[i64], owner: Uuid) -> String {
    format!(
        "seq IN ({}) AND owner = {} AND done_at IS NULL",
        list(seqs.iter().copied()),
        bytes(owner.as_bytes())
    )
}

/// Takes those of them that no other taker was faster to take, in their order.
async fn take_these(
    conn: &mut MySqlConnection,
    seqs: &[i64],
    owner: Uuid,
    lease: Duration,
) -> Result<Vec<TakenMessage>, sqlx::Error> {
    if seqs.is_empty() {
        return Ok(Vec::new());
    }
    let (seqs, owner) = (list(seqs.iter().copied()), bytes(owner.as_bytes()));
    let sql = format!(
        "{BEGIN}UPDATE idem_inbox AS message SET owner = {owner}, `until` = UTC_TIMESTAMP(6) + INTERVAL {} MICROSECOND, \
           taken = taken + 1 WHERE seq IN ({seqs}) AND {} AND done_at IS NULL; \
         SELECT seq, taken, source, id, {} FROM idem_inbox AS message WHERE seq IN ({seqs}) AND owner = {owner} \
           AND done_at IS NULL ORDER BY seq; \
         COMMIT",
        lease.as_micros(),
        can_be_taken("message"),
        columns("message"),
    );
    let rows = run(conn, sql).await?;
    rows.iter().map(message).collect()
}

/// Changes a message that is still this owner's.
async fn update(
    conn: &mut MySqlConnection,
    seq: i64,
    owner: Uuid,
    set: &str,
) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "{BEGIN}UPDATE idem_inbox SET {set} WHERE seq = {seq} AND owner = {} AND done_at IS NULL; SELECT ROW_COUNT(); COMMIT",
        bytes(owner.as_bytes())
    );
    let rows = run(conn, sql).await?;
    let changed: Option<i64> = rows.last().map(|row| row.try_get(0)).transpose()?;
    Ok(changed == Some(1))
}

fn message(row: &MySqlRow) -> Result<TakenMessage, sqlx::Error> {
    Ok(TakenMessage {
        seq: row.try_get(0)?,
        taken: row.try_get::<i32, _>(1)?.unsigned_abs(),
        kept: kept(row, 2)?,
    })
}

/// Reads `source, id` and what [`stored`] reads.
pub(super) fn kept(row: &MySqlRow, first: usize) -> Result<KeptMessage, sqlx::Error> {
    let message = MessageId {
        source: lossy(row, first)?,
        id: lossy(row, first + 1)?,
    };
    let content = stored(row, Uuid::nil(), first + 2)?.into_readable();
    Ok(KeptMessage::of_row(message, content))
}
