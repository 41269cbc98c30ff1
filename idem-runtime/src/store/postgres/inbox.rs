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
use crate::store::inbox_store::{InboxName, InboxStore, Lane, PARKED, TakenMessage, lane};
use crate::store::kept_message::{KeptMessage, MessageId};
use crate::store::verdict::fits;

/// What a message is in a statement.
pub(super) const COLUMNS: &str =
    "source, id, topic, key, type, payload, content_type, headers, created_at";

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
        let is_free = "(until IS NULL OR until <= statement_timestamp())";
        // What is the first of its lane is asked for each row by an index, until there are enough. NOT
        // EXISTS could become a join, and of a table that was not analysed since it was filled the
        // server reads all that waits for each row of the result.
        //
        // Of a row that another taker has just taken, the outer condition is asked again.
        let sql = format!(
            "{BY_INDEX}UPDATE {inbox_table} AS message SET owner = '{owner}', until = {}, taken = taken + 1 \
             WHERE seq = ANY (ARRAY(SELECT seq FROM {inbox_table} AS one WHERE {} \
               AND due_at <= statement_timestamp() AND {is_free} \
               AND (lane IS NULL OR seq = (SELECT before.seq FROM {inbox_table} AS before \
                 WHERE {} AND before.lane = one.lane ORDER BY before.seq LIMIT 1)) \
               ORDER BY seq LIMIT {limit})) AND {is_free} AND done_at IS NULL \
             RETURNING seq, taken, source, id, topic, key, type, encode(payload, 'hex'), content_type, headers, {}",
            after(lease),
            is_waiting("one", inbox),
            is_waiting("before", inbox),
            micros("created_at"),
        );
        let rows = fetch_all(conn, sql).await?;
        let mut taken: Vec<_> = rows.iter().map(message).collect::<Result<_, _>>()?;
        taken.sort_unstable_by_key(|message: &TakenMessage| message.seq);
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
        let numbers: Vec<_> = seqs.iter().map(i64::to_string).collect();
        let sql = format!(
            "{BY_INDEX}UPDATE {} SET done_at = clock_timestamp(), payload = '', headers = '{{}}', owner = NULL, until = NULL \
             WHERE seq = ANY ('{{{}}}'::bigint[]) AND owner = '{owner}' AND done_at IS NULL RETURNING seq",
            table(home, "idem_inbox"),
            numbers.join(",")
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
