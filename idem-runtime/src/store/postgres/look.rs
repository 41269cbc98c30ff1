//! Looks at the outbox.

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _, raw_sql};

use super::literal::text;
use super::round_trip::{BY_INDEX, fetch_all, fetch_last};
use super::stored_row::{
    EVENT, SIZE, columns, is_of, is_selected, optional_uuid, plain, stored, table, unnested, uuid,
};
use crate::store::outbox_store::RELAY;
use crate::store::stored_event::Found;
use crate::store::{FoundEvent, FoundRow, Home, Horizon, Look, LookArgs, Place, Selection, Topics};

pub(super) async fn look(
    conn: &mut PgConnection,
    home: &Home,
    args: &LookArgs<'_>,
) -> Result<Look, sqlx::Error> {
    let mut rows = raw_sql(AssertSqlSafe(look_sql(home, args))).fetch(conn);
    let mut look = Look {
        rows: Vec::new(),
        more: false,
        horizon: Horizon { mark: 0, passed: 0 },
    };
    let (mut read, mut bytes) = (0, 0);
    // Each is decoded while the server makes the next ones.
    while let Some(row) = rows.try_next().await? {
        let Some(seq) = row.try_get::<Option<i64>, _>(0)? else {
            look.horizon.passed = xid(row.try_get(2)?)?;
            if let Some(mark) = row.try_get::<Option<&str>, _>(1)? {
                look.horizon.mark = xid(mark)?;
            }
            continue;
        };
        let event = found(&row, seq)?;
        if seq > args.cursor {
            read += 1;
            bytes += event.as_ref().map_or(0, |event| event.size as u64);
        }
        look.rows.push(FoundRow { seq, event });
    }
    look.rows.sort_unstable_by_key(|row| row.seq);
    look.more = args.limit.reached(read, bytes);
    Ok(look)
}

/// One row is the horizon.
///
/// A transaction has an ID before its events have numbers, but the IDs are not in the order of the
/// numbers. So neither the highest ID of the snapshot nor that of a row that was seen is above the
/// IDs of all transactions that could hold a missing number. The ID that this statement takes is,
/// and it takes one only where a number is missing.
fn look_sql(home: &Home, args: &LookArgs<'_>) -> String {
    let outbox = table(home, "idem_outbox");
    let own = is_selected(&args.selection);
    // What is another relay's is not sent.
    let columns = columns("event", |column| format!("CASE WHEN own THEN {column} END"));
    let (attempts, no_attempts, join) = attempts_sql(home, args);
    // Sizes are added up over the index and the heads of the rows. To carry whole rows through the
    // window would take twice as long as to read them.
    let past = format!(
        "SELECT seq, CASE WHEN {own} THEN {SIZE} ELSE 0 END AS size FROM {outbox} \
         WHERE seq > '{cursor}'::bigint ORDER BY seq LIMIT {events}",
        cursor = args.cursor,
        events = args.limit.events,
    );
    format!(
        "{BY_INDEX}\
         WITH head AS MATERIALIZED (\
           SELECT CASE WHEN last - '{cursor}'::bigint <> count THEN pg_current_xact_id() END AS mark, \
             CASE WHEN bytes <= {bytes} THEN last ELSE (\
               SELECT max(seq) FROM (SELECT seq, sum(size) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) - size AS before FROM ({past}) AS past) AS sums \
               WHERE before < {bytes}\
             ) END AS last \
           FROM (SELECT count(*) AS count, max(seq) AS last, sum(size) AS bytes FROM ({past}) AS past) AS sums\
         ) \
         SELECT NULL::bigint AS seq, mark::text AS mark, pg_snapshot_xmin(pg_current_snapshot())::text AS id, NULL AS shard, \
           NULL AS topic, NULL AS key, NULL AS type, NULL AS payload, NULL AS content_type, NULL AS headers, \
           NULL AS created_at{no_attempts} FROM head \
         UNION ALL SELECT seq, NULL, {columns}{attempts} FROM (\
           SELECT past.* FROM head CROSS JOIN LATERAL (\
             SELECT seq, {own} AS own, id, {EVENT} FROM {outbox} WHERE seq > '{cursor}'::bigint AND seq <= head.last OFFSET 0\
           ) AS past \
           UNION ALL SELECT missed.* \
             FROM unnest({firsts}::bigint[], {lasts}::bigint[]) AS unseen (first, last) CROSS JOIN LATERAL (\
             SELECT seq, {own} AS own, id, {EVENT} FROM {outbox} WHERE seq BETWEEN first AND last OFFSET 0\
           ) AS missed\
         ) AS event{join}",
        cursor = args.cursor,
        bytes = args.limit.bytes,
        firsts = plain(args.unseen.iter().map(|range| range.first)),
        lasts = plain(args.unseen.iter().map(|range| range.last)),
    )
}

/// The columns of attempts, the same without any, and where they come from.
fn attempts_sql(home: &Home, args: &LookArgs<'_>) -> (&'static str, &'static str, String) {
    if !args.with_attempts {
        return ("", "", String::new());
    }
    // An infinite time would fail the statement.
    let retry_at = "least(greatest(retry_at, statement_timestamp()), statement_timestamp() + interval '100 years')";
    let join = format!(
        " LEFT JOIN LATERAL (SELECT attempts, (extract(epoch FROM {retry_at} - statement_timestamp()) * 1000000)::bigint AS retry_in \
           FROM {} WHERE origin = '{RELAY}' AND name = {} AND source = '' AND id = event.id::text OFFSET 0\
         ) AS attempt ON own",
        table(home, "idem_attempts"),
        text(args.target),
    );
    (", attempts, retry_in", ", NULL, NULL", join)
}

pub(super) async fn read(
    conn: &mut PgConnection,
    home: &Home,
    places: &[Place],
) -> Result<Vec<FoundEvent>, sqlx::Error> {
    let sql = format!(
        "{BY_INDEX}\
         SELECT event.seq, NULL, {} \
         FROM {} AS place (seq, id) CROSS JOIN LATERAL (SELECT * FROM {} WHERE seq = place.seq OFFSET 0) AS event \
         WHERE event.id = place.id ORDER BY event.seq",
        columns("event", str::to_owned),
        unnested(places.iter()),
        table(home, "idem_outbox"),
    );
    let rows = fetch_all(conn, sql).await?;
    let found = |row| found(row, row.try_get(0)?).map(Option::into_iter);
    let found: Vec<_> = rows.iter().map(found).collect::<Result<_, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

pub(super) async fn places(
    conn: &mut PgConnection,
    home: &Home,
    selection: &Selection<'_>,
    after: i64,
    up_to: i64,
    limit: u32,
) -> Result<Vec<Place>, sqlx::Error> {
    let sql = format!(
        "{BY_INDEX}\
         SELECT seq, id::text FROM {} WHERE seq > '{after}'::bigint AND seq <= '{up_to}'::bigint AND {} ORDER BY seq LIMIT {limit}",
        table(home, "idem_outbox"),
        is_selected(selection),
    );
    let rows = fetch_all(conn, sql).await?;
    let place = |row: &PgRow| {
        Ok(Place {
            seq: row.try_get(0)?,
            id: uuid(row, 1)?,
        })
    };
    rows.iter().map(place).collect()
}

pub(super) async fn has_events(
    conn: &mut PgConnection,
    home: &Home,
    topics: &Topics,
) -> Result<bool, sqlx::Error> {
    // In order, the index is read no further than to the first event.
    let sql = format!(
        "{BY_INDEX}SELECT seq FROM {} WHERE {} ORDER BY seq LIMIT 1",
        table(home, "idem_outbox"),
        is_of(topics),
    );
    Ok(fetch_last(conn, sql).await?.is_some())
}

/// `None`: it is another relay's.
fn found(row: &PgRow, seq: i64) -> Result<Option<FoundEvent>, sqlx::Error> {
    let Some(id) = optional_uuid(row, 2)? else {
        return Ok(None);
    };
    let has_attempts = row.len() > 11;
    let found = Found {
        place: Place { seq, id },
        shard: row.try_get(3)?,
        attempts: if has_attempts { row.try_get(11)? } else { None },
        retry_in: if has_attempts { row.try_get(12)? } else { None },
    };
    Ok(Some(found.event(stored(row, id, 4)?)))
}

fn xid(text: &str) -> Result<u64, sqlx::Error> {
    text.parse()
        .map_err(|error: std::num::ParseIntError| sqlx::Error::Decode(error.into()))
}
