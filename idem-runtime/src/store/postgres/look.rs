//! Looks at the outbox.

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _, raw_sql};

use super::literal::text;
use super::round_trip::{BY_INDEX, fetch_all, fetch_last};
use super::stored_row::{
    COLUMNS, EVENT, SIZE, columns, is_of, is_selected, optional_uuid, plain, stored, table,
    unnested, uuid,
};
use crate::store::outbox_store::RELAY;
use crate::store::stored_event::Found;
use crate::store::{FoundEvent, FoundRow, Home, Horizon, Look, LookArgs, Place, Selection, Topics};

pub(super) async fn look(
    conn: &mut PgConnection,
    home: &Home,
    args: &LookArgs<'_>,
) -> Result<Look, sqlx::Error> {
    if let Some(look) = look_up_to(conn, args, look_sql(home, args, Last::Fitting)).await? {
        return Ok(look);
    }
    let look = look_up_to(conn, args, look_sql(home, args, Last::Cut)).await?;
    look.ok_or(sqlx::Error::RowNotFound)
}

/// `None`: all that was asked for is too much.
async fn look_up_to(
    conn: &mut PgConnection,
    args: &LookArgs<'_>,
    sql: String,
) -> Result<Option<Look>, sqlx::Error> {
    let mut rows = raw_sql(AssertSqlSafe(sql)).fetch(conn);
    let mut look = Look {
        rows: Vec::new(),
        more: false,
        horizon: Horizon { mark: 0, passed: 0 },
    };
    let (mut read, mut bytes, mut fits) = (0, 0, true);
    // Each is decoded while the server makes the next ones.
    while let Some(row) = rows.try_next().await? {
        if look.horizon.passed == 0 {
            let mark: Option<&str> = row.try_get(1)?;
            look.horizon.mark = mark.map_or(Ok(0), xid)?;
            look.horizon.passed = xid(row.try_get(2)?)?;
            fits = row.try_get(3)?;
        }
        let Some(seq) = row.try_get::<Option<i64>, _>(0)? else {
            continue;
        };
        let event = found(&row, seq, 4)?;
        if seq > args.cursor {
            read += 1;
            bytes += event.as_ref().map_or(0, |event| event.size as u64);
        }
        look.rows.push(FoundRow { seq, event });
    }
    look.rows.sort_unstable_by_key(|row| row.seq);
    look.more = args.limit.reached(read, bytes);
    Ok(fits.then_some(look))
}

/// Where a look ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// At the last row that may be read. If they hold too much together, none is read.
    Fitting,
    /// At the row that reaches the limit in bytes. A look like this takes longer.
    Cut,
}

/// A transaction has an ID before its events have numbers, but the IDs are not in the order of the
/// numbers. So neither the highest ID of the snapshot nor that of a row that was seen is above the
/// IDs of all transactions that could hold a missing number. The ID that this statement takes is,
/// and it takes one only where a number is missing.
fn look_sql(home: &Home, args: &LookArgs<'_>, end: Last) -> String {
    let outbox = table(home, "idem_outbox");
    let own = is_selected(&args.selection);
    // What is another relay's is not sent.
    let columns = columns("event", |column| format!("CASE WHEN own THEN {column} END"));
    let (attempts, join) = attempts_sql(home, args);
    // Sizes are added up from the heads of the rows. To carry whole rows through an aggregate would
    // take twice as long as to read them again.
    let (cursor, limit) = (args.cursor, args.limit);
    let sizes = format!(
        "SELECT seq, CASE WHEN {own} THEN {SIZE} ELSE 0 END AS size FROM {outbox} \
         WHERE seq > '{cursor}'::bigint ORDER BY seq LIMIT {}",
        limit.events
    );
    let last = match end {
        Last::Fitting => format!("last, bytes <= {} AS fits", limit.bytes),
        Last::Cut => format!(
            "(SELECT max(seq) FROM (\
               SELECT seq, sum(size) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) - size AS before FROM ({sizes}) AS sizes\
             ) AS sums WHERE before < {}) AS last, true AS fits",
            limit.bytes
        ),
    };
    let unseen = if args.unseen.is_empty() {
        String::new()
    } else {
        format!(
            " UNION ALL SELECT * FROM unnest({}::bigint[], {}::bigint[])",
            plain(args.unseen.iter().map(|range| range.first)),
            plain(args.unseen.iter().map(|range| range.last)),
        )
    };
    format!(
        "{BY_INDEX}\
         SELECT event.seq, mark::text, pg_snapshot_xmin(pg_current_snapshot())::text, coalesce(fits, true), {columns}{attempts} \
         FROM (\
           SELECT CASE WHEN last - '{cursor}'::bigint <> count THEN pg_current_xact_id() END AS mark, {last} \
           FROM (SELECT count(*) AS count, max(seq) AS last, sum(size) AS bytes FROM ({sizes}) AS sizes) AS sums\
         ) AS head LEFT JOIN LATERAL (\
           SELECT row.* FROM (SELECT '{first}'::bigint, head.last WHERE head.fits{unseen}) AS range (first, last) \
           CROSS JOIN LATERAL (\
             SELECT seq, {own} AS own, id, {EVENT} FROM {outbox} WHERE seq BETWEEN range.first AND range.last OFFSET 0\
           ) AS row\
         ) AS event ON true{join}",
        first = cursor.saturating_add(1),
    )
}

/// The columns of attempts, and where they come from.
fn attempts_sql(home: &Home, args: &LookArgs<'_>) -> (&'static str, String) {
    if !args.with_attempts {
        return ("", String::new());
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
    (", attempts, retry_in", join)
}

pub(super) async fn read(
    conn: &mut PgConnection,
    home: &Home,
    places: &[Place],
) -> Result<Vec<FoundEvent>, sqlx::Error> {
    let sql = format!(
        "{BY_INDEX}\
         SELECT event.seq, {} \
         FROM {} AS place (seq, id) CROSS JOIN LATERAL (SELECT * FROM {} WHERE seq = place.seq OFFSET 0) AS event \
         WHERE event.id = place.id ORDER BY event.seq",
        columns("event", str::to_owned),
        unnested(places.iter()),
        table(home, "idem_outbox"),
    );
    let rows = fetch_all(conn, sql).await?;
    let found = |row| found(row, row.try_get(0)?, 1).map(Option::into_iter);
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

/// Reads the columns of an event from `first` on. `None`: it is another relay's.
fn found(row: &PgRow, seq: i64, first: usize) -> Result<Option<FoundEvent>, sqlx::Error> {
    let Some(id) = optional_uuid(row, first)? else {
        return Ok(None);
    };
    let attempts = first + COLUMNS;
    let has_attempts = row.len() > attempts;
    let found = Found {
        place: Place { seq, id },
        shard: row.try_get(first + 1)?,
        attempts: if has_attempts {
            row.try_get(attempts)?
        } else {
            None
        },
        retry_in: if has_attempts {
            row.try_get(attempts + 1)?
        } else {
            None
        },
    };
    Ok(Some(found.event(stored(row, id, first + 2)?)))
}

fn xid(text: &str) -> Result<u64, sqlx::Error> {
    text.parse()
        .map_err(|error: std::num::ParseIntError| sqlx::Error::Decode(error.into()))
}
