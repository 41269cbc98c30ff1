//! Looks at the outbox.

use std::collections::BTreeSet;

use sqlx::Row as _;
use sqlx::mysql::{MySqlConnection, MySqlRow};

use super::error_class::number;
use super::literal::bytes;
use super::round_trip::{END_READ, READ_COMMITTED, fits_packet};
use super::stored_row::{OUTBOX, columns, is_of, is_selected, micros, stored, uuid, uuid_text};
use super::transaction::{BEGIN, run};
use crate::store::outbox_store::{RELAY, list};
use crate::store::stored_event::Found;
use crate::store::{
    FoundEvent, FoundRow, Horizon, Look, LookArgs, Place, Selection, SeqRange, Topics,
};

/// A session at READ UNCOMMITTED would see events whose transaction rolls back later.
async fn read_rows(conn: &mut MySqlConnection, sql: String) -> Result<Vec<MySqlRow>, sqlx::Error> {
    let sql = format!("{READ_COMMITTED}; {sql}{END_READ}");
    fits_packet(conn, &sql).await?;
    run(conn, sql).await
}

pub(super) async fn look(
    conn: &mut MySqlConnection,
    args: &LookArgs<'_>,
) -> Result<Look, sqlx::Error> {
    let mut rows = read_rows(conn, look_sql(args)).await?;
    let horizon = rows.pop().ok_or(sqlx::Error::RowNotFound)?;
    let mut look = Look {
        rows: Vec::with_capacity(rows.len()),
        more: false,
        horizon: Horizon {
            mark: horizon.try_get(0)?,
            passed: horizon.try_get(1)?,
        },
    };
    let (mut read, mut bytes) = (0, 0);
    for row in &rows {
        let (seq, event) = (row.try_get(0)?, found(row)?);
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

/// The numbers are chosen first, and payloads are read of those alone that are the relay's.
///
/// An insert that waits for another one has a number and no row that anybody could see. It waits
/// for `innodb_lock_wait_timeout` at most, so a number that is missed has its row after that time
/// or never, or its row can be seen to be locked.
fn look_sql(args: &LookArgs<'_>) -> String {
    let size = format!("IF({}, size, NULL) AS size", is_selected(&args.selection));
    let and_unseen = if args.unseen.is_empty() {
        String::new()
    } else {
        let is_unseen = is_in(args.unseen);
        format!(" UNION ALL SELECT seq, {size} FROM {OUTBOX} WHERE {is_unseen}")
    };
    let (attempts, join) = if args.with_attempts {
        (
            "attempt.attempts, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), attempt.retry_at)",
            format!(
                " LEFT JOIN idem_attempts AS attempt ON attempt.origin = '{RELAY}' AND attempt.name = {} \
                 AND attempt.source = '' AND attempt.id = CAST({} AS BINARY)",
                bytes(args.target.as_bytes()),
                uuid_text("event.id"),
            ),
        )
    } else {
        ("NULL, NULL", String::new())
    };
    let now = micros("UTC_TIMESTAMP(6)");
    format!(
        "SELECT wanted.seq, event.id, event.shard, {attempts}, {columns} FROM (\
           SELECT seq, size FROM (\
             SELECT seq, size, SUM(COALESCE(size, 0)) OVER (ORDER BY seq) - COALESCE(size, 0) AS before_it FROM (\
               SELECT seq, {size} FROM {OUTBOX} WHERE seq > {cursor} ORDER BY seq LIMIT {events}\
             ) AS past\
           ) AS tail WHERE before_it < {bytes}{and_unseen}\
         ) AS wanted LEFT JOIN {event} ON event.seq = wanted.seq AND wanted.size IS NOT NULL{join}; \
         SELECT CAST({now} AS UNSIGNED), CAST(GREATEST({now} - 2000000 * \
           GREATEST(@@global.innodb_lock_wait_timeout, @@innodb_lock_wait_timeout), 0) AS UNSIGNED)",
        columns = columns("event"),
        cursor = args.cursor,
        events = args.limit.events,
        bytes = args.limit.bytes,
        event = OUTBOX.replace(" FORCE", " AS event FORCE"),
    )
}

/// Whether a row has one of these numbers.
fn is_in(ranges: &[SeqRange]) -> String {
    let is_single = |range: &&SeqRange| range.first == range.last;
    let single: Vec<_> = ranges.iter().filter(is_single).collect();
    let more = ranges.iter().filter(|range| !is_single(range));
    let mut is_in: Vec<String> = more
        .map(|range| format!("seq BETWEEN {} AND {}", range.first, range.last))
        .collect();
    if !single.is_empty() {
        let single = list(single.iter().map(|range| range.first));
        is_in.push(format!("seq IN ({single})"));
    }
    format!("({})", is_in.join(" OR "))
}

/// A locking read finds the row of a transaction that still runs, and fails at once.
pub(super) async fn never_committed(
    conn: &mut MySqlConnection,
    missing: &[SeqRange],
) -> Result<Vec<SeqRange>, sqlx::Error> {
    let mut never = Vec::new();
    let mut asked = vec![missing];
    while let Some(ranges) = asked.pop() {
        if ranges.is_empty() {
            continue;
        }
        let sql = format!(
            "{BEGIN}SELECT seq FROM {OUTBOX} WHERE {} LIMIT 1 FOR UPDATE NOWAIT; COMMIT",
            is_in(ranges)
        );
        let is_empty = match run(conn, sql).await {
            Ok(rows) => rows.is_empty(),
            // MariaDB's number for a lock that is not waited for, and MySQL's.
            Err(error) if matches!(number(&error), Some(1205 | 3572)) => false,
            Err(error) => return Err(error),
        };
        if is_empty {
            never.extend_from_slice(ranges);
        } else if ranges.len() > 1 {
            let (first, second) = ranges.split_at(ranges.len() / 2);
            asked.extend([second, first]);
        }
    }
    Ok(never)
}

pub(super) async fn read(
    conn: &mut MySqlConnection,
    places: &[Place],
) -> Result<Vec<FoundEvent>, sqlx::Error> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT event.seq, event.id, event.shard, NULL, NULL, {} FROM {} WHERE event.seq IN ({}) ORDER BY event.seq",
        columns("event"),
        OUTBOX.replace(" FORCE", " AS event FORCE"),
        list(places.iter().map(|place| place.seq)),
    );
    let places: BTreeSet<_> = places.iter().collect();
    let mut events = Vec::new();
    for row in read_rows(conn, sql).await? {
        events.extend(found(&row)?.filter(|event| places.contains(&event.place)));
    }
    Ok(events)
}

pub(super) async fn places(
    conn: &mut MySqlConnection,
    selection: &Selection<'_>,
    after: i64,
    up_to: i64,
    limit: u32,
) -> Result<Vec<Place>, sqlx::Error> {
    let sql = format!(
        "SELECT seq, id FROM {OUTBOX} WHERE seq > {after} AND seq <= {up_to} AND {} ORDER BY seq LIMIT {limit}",
        is_selected(selection),
    );
    let rows = read_rows(conn, sql).await?;
    let place = |row: &MySqlRow| {
        Ok(Place {
            seq: row.try_get(0)?,
            id: uuid(row.try_get(1)?)?,
        })
    };
    rows.iter().map(place).collect()
}

pub(super) async fn has_events(
    conn: &mut MySqlConnection,
    topics: &Topics,
) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "SELECT seq FROM {OUTBOX} WHERE {} ORDER BY seq LIMIT 1",
        is_of(topics)
    );
    Ok(!read_rows(conn, sql).await?.is_empty())
}

/// `None`: it is another relay's.
fn found(row: &MySqlRow) -> Result<Option<FoundEvent>, sqlx::Error> {
    let Some(id) = row.try_get::<Option<&[u8]>, _>(1)? else {
        return Ok(None);
    };
    let id = uuid(id)?;
    let found = Found {
        place: Place {
            seq: row.try_get(0)?,
            id,
        },
        shard: row.try_get(2)?,
        attempts: row.try_get(3)?,
        retry_in: row.try_get(4)?,
    };
    Ok(Some(found.event(stored(row, id, 5)?)))
}
