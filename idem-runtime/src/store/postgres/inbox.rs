//! Messages that wait in this database.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Postgres, Row as _};
use uuid::Uuid;

use super::LONGEST_STATEMENT;
use super::literal::{bytes, optional, text};
use super::round_trip::{BY_INDEX, fetch_all, fetch_last};
use super::stored_row::{micros, stored, table, texts};
use crate::store::Home;
use crate::store::inbox_store::{
    InboxName, InboxStore, Lane, PARKED, TakenMessage, lane, without_gaps,
};
use crate::store::kept_message::{KeptMessage, MessageId};
use crate::store::verdict::fits;

/// What a message is in a statement.
pub(super) const COLUMNS: &str =
    "source, id, topic, key, type, payload, content_type, headers, created_at";

/// What [`message`] reads, and when it was created.
const TAKEN: &str =
    "seq, taken, source, id, topic, key, type, encode(payload, 'hex'), content_type, headers";

impl InboxStore for Postgres {
    async fn add(
        conn: &mut PgConnection,
        home: &Home,
        inbox: InboxName<'_>,
        messages: &[KeptMessage],
        due: Duration,
    ) -> Result<u64, sqlx::Error> {
        let rows: Vec<_> = messages
            .iter()
            .map(|kept| {
                let lane = kept.key.as_deref().map(lane);
                format!(
                    "('{}', {}, {}, {}, {})",
                    inbox.origin,
                    text(inbox.name),
                    optional(lane.as_ref().map(<[u8; 16]>::as_slice)),
                    after(due),
                    values(kept)
                )
            })
            .collect();
        // The order of the rows is that of their numbers.
        let sql = format!(
            "{BY_INDEX}{}INSERT INTO {} (origin, name, lane, due_at, {COLUMNS}) VALUES {} ON CONFLICT DO NOTHING RETURNING 1",
            forget_sql(home, inbox, messages),
            table(home, "idem_inbox"),
            rows.join(", ")
        );
        fits(sql.len(), LONGEST_STATEMENT)?;
        Ok(fetch_all(conn, sql).await?.len() as u64)
    }

    async fn take(
        conn: &mut PgConnection,
        home: &Home,
        inbox: InboxName<'_>,
        owner: Uuid,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<TakenMessage>, sqlx::Error> {
        let inbox_table = table(home, "idem_inbox");
        // What is the first of its lane is asked for each row by an index, until there are enough. NOT
        // EXISTS could become a join, and of a table that was not analysed since it was filled the
        // server reads all that waits for each row of the result.
        let sql = format!(
            "{BY_INDEX}{} WHERE seq = ANY (ARRAY(SELECT seq FROM {inbox_table} AS one WHERE {} AND {} \
               AND (lane IS NULL OR seq = (SELECT before.seq FROM {inbox_table} AS before \
                 WHERE {} AND before.lane = one.lane ORDER BY before.seq LIMIT 1)) \
               ORDER BY seq LIMIT {limit})) AND {} RETURNING {TAKEN}, {}",
            take_sql(home, owner, lease),
            is_waiting("one", inbox),
            can_be_taken("one"),
            is_waiting("before", inbox),
            still_can_be_taken(),
            micros("created_at"),
        );
        let rows = fetch_all(conn, sql).await?;
        let mut taken: Vec<_> = rows.iter().map(message).collect::<Result<_, _>>()?;
        taken.sort_unstable_by_key(|message: &TakenMessage| message.seq);
        Ok(taken)
    }

    async fn take_lanes(
        conn: &mut PgConnection,
        home: &Home,
        inbox: InboxName<'_>,
        owner: Uuid,
        lease: Duration,
        lanes: &[Lane],
        each: u32,
    ) -> Result<Vec<TakenMessage>, sqlx::Error> {
        let wanted: Vec<_> = lanes
            .iter()
            .map(|lane| format!("({}::bytea)", bytes(lane)))
            .collect();
        let sql = format!(
            "{BY_INDEX}WITH first AS MATERIALIZED (SELECT of_lane.seq, of_lane.place FROM (VALUES {}) AS wanted (lane), \
               LATERAL (SELECT seq, row_number() OVER in_order AS place, bool_and({}) OVER in_order AS is_open \
                 FROM (SELECT seq, due_at, until FROM {} AS one WHERE {} AND one.lane = wanted.lane \
                   ORDER BY seq LIMIT {each}) AS one WINDOW in_order AS (ORDER BY seq)) AS of_lane \
               WHERE of_lane.is_open) \
             {} WHERE seq = ANY (ARRAY(SELECT seq FROM first)) AND {} \
             RETURNING {TAKEN}, {}, (SELECT place FROM first WHERE first.seq = message.seq)",
            wanted.join(", "),
            can_be_taken("one"),
            table(home, "idem_inbox"),
            is_waiting("one", inbox),
            take_sql(home, owner, lease),
            still_can_be_taken(),
            micros("created_at"),
        );
        let rows = fetch_all(conn, sql).await?;
        let taken: Vec<_> = rows
            .iter()
            .map(|row| Ok((message(row)?, row.try_get::<i64, _>(11)?.unsigned_abs())))
            .collect::<Result<_, sqlx::Error>>()?;
        let (taken, back) = without_gaps(taken);
        Self::put_back(conn, home, &back, owner).await?;
        Ok(taken)
    }

    async fn renew(
        conn: &mut PgConnection,
        home: &Home,
        seq: i64,
        owner: Uuid,
        lease: Duration,
    ) -> Result<bool, sqlx::Error> {
        update(conn, home, seq, owner, &format!("until = {}", after(lease))).await
    }

    async fn mark_done(
        conn: &mut PgConnection,
        home: &Home,
        seqs: &[i64],
        owner: Uuid,
    ) -> Result<Vec<i64>, sqlx::Error> {
        let sql = format!(
            "{BY_INDEX}UPDATE {} SET done_at = clock_timestamp(), payload = '', headers = '{{}}', owner = NULL, until = NULL \
             WHERE {} RETURNING seq",
            table(home, "idem_inbox"),
            still_ours(seqs, owner)
        );
        let rows = fetch_all(conn, sql).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    async fn reject(
        conn: &mut PgConnection,
        home: &Home,
        seq: i64,
        owner: Uuid,
    ) -> Result<bool, sqlx::Error> {
        let done = "done_at = clock_timestamp(), owner = NULL, until = NULL";
        update(conn, home, seq, owner, done).await
    }

    async fn release(
        conn: &mut PgConnection,
        home: &Home,
        seq: i64,
        owner: Uuid,
        due: Duration,
    ) -> Result<bool, sqlx::Error> {
        let released = format!("owner = NULL, until = NULL, due_at = {}", after(due));
        update(conn, home, seq, owner, &released).await
    }

    async fn put_back(
        conn: &mut PgConnection,
        home: &Home,
        seqs: &[i64],
        owner: Uuid,
    ) -> Result<(), sqlx::Error> {
        if seqs.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "{BY_INDEX}UPDATE {} SET owner = NULL, until = NULL, taken = taken - 1 WHERE {}",
            table(home, "idem_inbox"),
            still_ours(seqs, owner)
        );
        fetch_all(conn, sql).await.map(drop)
    }

    async fn waiting(
        conn: &mut PgConnection,
        home: &Home,
        inbox: InboxName<'_>,
        limit: u32,
    ) -> Result<(u64, Vec<Lane>), sqlx::Error> {
        let sql = format!(
            "{BY_INDEX}SELECT encode(lane, 'hex') FROM {} AS message WHERE {} LIMIT {limit}",
            table(home, "idem_inbox"),
            is_waiting("message", inbox),
        );
        let rows = fetch_all(conn, sql).await?;
        let mut lanes = Vec::new();
        for row in &rows {
            let hexed: Option<&str> = row.try_get(0)?;
            let mut lane = Lane::default();
            if hexed.is_some_and(|hexed| hex::decode_to_slice(hexed, &mut lane).is_ok()) {
                lanes.push(lane);
            }
        }
        Ok((rows.len() as u64, lanes))
    }
}

/// What is remembered as done would keep out what must wait again.
fn forget_sql(home: &Home, inbox: InboxName<'_>, messages: &[KeptMessage]) -> String {
    if inbox.origin != PARKED {
        return String::new();
    }
    format!(
        "DELETE FROM {} AS known USING {} AS message (source, id) \
         WHERE known.origin = '{PARKED}' AND known.name = {} AND known.source = message.source AND known.id = message.id \
           AND known.done_at IS NOT NULL; ",
        table(home, "idem_inbox"),
        ids(messages.iter().map(|kept| &kept.message)),
        text(inbox.name),
    )
}

/// The values of [`COLUMNS`].
pub(super) fn values(kept: &KeptMessage) -> String {
    format!(
        "{}, {}, {}, {}, {}, {}, {}, {}, 'epoch'::timestamptz + '{}'::bigint * interval '1 microsecond'",
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

/// `unnest('{..}'::text[], '{..}'::text[])`
pub(super) fn ids<'a>(messages: impl Iterator<Item = &'a MessageId> + Clone) -> String {
    format!(
        "unnest({}::text[], {}::text[])",
        texts(messages.clone().map(|message| &message.source)),
        texts(messages.map(|message| &message.id)),
    )
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
    format!(
        "{row}.due_at <= statement_timestamp() AND ({row}.until IS NULL OR {row}.until <= statement_timestamp())"
    )
}

/// Of a row that another taker has just changed, this is asked again.
fn still_can_be_taken() -> String {
    format!("{} AND message.done_at IS NULL", can_be_taken("message"))
}

fn take_sql(home: &Home, owner: Uuid, lease: Duration) -> String {
    format!(
        "UPDATE {} AS message SET owner = '{owner}', until = {}, taken = taken + 1",
        table(home, "idem_inbox"),
        after(lease)
    )
}

fn still_ours(seqs: &[i64], owner: Uuid) -> String {
    let numbers: Vec<_> = seqs.iter().map(i64::to_string).collect();
    format!(
        "seq = ANY ('{{{}}}'::bigint[]) AND owner = '{owner}' AND done_at IS NULL",
        numbers.join(",")
    )
}

fn after(time: Duration) -> String {
    format!(
        "clock_timestamp() + '{}'::bigint * interval '1 microsecond'",
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 1_000_000)
    )
}

/// Changes a message that is still this owner's.
async fn update(
    conn: &mut PgConnection,
    home: &Home,
    seq: i64,
    owner: Uuid,
    set: &str,
) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "{BY_INDEX}UPDATE {} SET {set} WHERE seq = '{seq}'::bigint AND owner = '{owner}' AND done_at IS NULL RETURNING 1",
        table(home, "idem_inbox")
    );
    Ok(fetch_last(conn, sql).await?.is_some())
}

fn message(row: &PgRow) -> Result<TakenMessage, sqlx::Error> {
    Ok(TakenMessage {
        seq: row.try_get(0)?,
        taken: row.try_get::<i32, _>(1)?.unsigned_abs(),
        kept: kept(row, 2)?,
    })
}

/// Reads `source, id` and what [`stored`] reads.
pub(super) fn kept(row: &PgRow, first: usize) -> Result<KeptMessage, sqlx::Error> {
    let message = MessageId {
        source: row.try_get(first)?,
        id: row.try_get(first + 1)?,
    };
    let content = stored(row, Uuid::nil(), first + 2)?.into_readable();
    Ok(KeptMessage::of_row(message, content))
}
