//! Looks at the outbox.

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::literal::{NOW, text};
use super::round_trip::{fetch_all, fetch_last};
use super::stored_row::{SIZE, is_of, is_selected, stored, uuid, uuid_text, values};
use crate::store::outbox_store::{RELAY, list};
use crate::store::stored_event::Found;
use crate::store::{FoundEvent, FoundRow, Horizon, Look, LookArgs, Place, Selection, Topics};

/// One transaction writes at a time, so there is no number below one that is seen which could still
/// turn up.
const HORIZON: Horizon = Horizon {
    mark: 0,
    passed: u64::MAX,
};

/// What [`found`] reads.
const COLUMNS: &str = "event.id, event.shard, event.topic, event.key, event.type, event.payload, event.content_type, \
    event.headers, event.created_at";

pub(super) async fn look(
    conn: &mut SqliteConnection,
    args: &LookArgs<'_>,
) -> Result<Look, sqlx::Error> {
    let rows = fetch_all(conn, look_sql(args)).await?;
    let mut look = Look {
        rows: Vec::with_capacity(rows.len()),
        more: false,
        horizon: HORIZON,
    };
    let (mut read, mut bytes) = (0, 0);
    for row in &rows {
        let row = found_row(row)?;
        if row.seq > args.cursor {
            read += 1;
            bytes += row.event.as_ref().map_or(0, |event| event.size as u64);
        }
        look.rows.push(row);
    }
    look.rows.sort_unstable_by_key(|row| row.seq);
    look.more = args.limit.reached(read, bytes);
    Ok(look)
}

/// The numbers are chosen first, and payloads are read of those alone that are the relay's.
fn look_sql(args: &LookArgs<'_>) -> String {
    let size = format!(
        "iif({}, {SIZE}, NULL) AS size",
        is_selected(&args.selection)
    );
    let (mut unseen, mut and_unseen) = (String::new(), String::new());
    if !args.unseen.is_empty() {
        let ranges = args.unseen.iter();
        let ranges = list(ranges.map(|range| format!("({}, {})", range.first, range.last)));
        unseen = format!("unseen (first, last) AS (VALUES {ranges}), ");
        and_unseen = format!(
            " UNION ALL SELECT seq, {size} FROM unseen CROSS JOIN idem_outbox ON seq BETWEEN first AND last"
        );
    }
    let (attempts, join) = if args.with_attempts {
        (
            format!("attempt.attempts, attempt.retry_at - {NOW}"),
            format!(
                " LEFT JOIN idem_attempts AS attempt ON attempt.origin = '{RELAY}' AND attempt.name = {} \
                 AND attempt.source = '' AND attempt.id = {}",
                text(args.target),
                uuid_text("event.id"),
            ),
        )
    } else {
        ("NULL, NULL".into(), String::new())
    };
    format!(
        "WITH {unseen}wanted (seq, size) AS (\
           SELECT seq, size FROM (\
             SELECT seq, size, sum(coalesce(size, 0)) OVER (ORDER BY seq) - coalesce(size, 0) AS before FROM (\
               SELECT seq, {size} FROM idem_outbox WHERE seq > {cursor} ORDER BY seq LIMIT {events}\
             )\
           ) WHERE before < {bytes}{and_unseen}\
         ) \
         SELECT wanted.seq, wanted.size IS NOT NULL, {attempts}, {COLUMNS} FROM wanted \
         LEFT JOIN idem_outbox AS event ON wanted.size IS NOT NULL AND event.seq = wanted.seq{join}",
        cursor = args.cursor,
        events = args.limit.events,
        bytes = args.limit.bytes,
    )
}

pub(super) async fn read(
    conn: &mut SqliteConnection,
    places: &[Place],
) -> Result<Vec<FoundEvent>, sqlx::Error> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "WITH place (seq, id) AS (VALUES {}) \
         SELECT event.seq, TRUE, NULL, NULL, {COLUMNS} FROM place \
         CROSS JOIN idem_outbox AS event ON event.seq = place.seq AND +event.id = place.id ORDER BY event.seq",
        values(places),
    );
    let rows = fetch_all(conn, sql).await?;
    rows.iter().map(found).collect()
}

pub(super) async fn places(
    conn: &mut SqliteConnection,
    selection: &Selection<'_>,
    after: i64,
    up_to: i64,
    limit: u32,
) -> Result<Vec<Place>, sqlx::Error> {
    let sql = format!(
        "SELECT seq, id FROM idem_outbox WHERE seq > {after} AND seq <= {up_to} AND {} ORDER BY seq LIMIT {limit}",
        is_selected(selection),
    );
    let rows = fetch_all(conn, sql).await?;
    let place = |row: &SqliteRow| {
        Ok(Place {
            seq: row.try_get(0)?,
            id: uuid(row, 1)?,
        })
    };
    rows.iter().map(place).collect()
}

pub(super) async fn has_events(
    conn: &mut SqliteConnection,
    topics: &Topics,
) -> Result<bool, sqlx::Error> {
    let sql = format!("SELECT 1 FROM idem_outbox WHERE {} LIMIT 1", is_of(topics));
    Ok(fetch_last(conn, sql).await?.is_some())
}

fn found_row(row: &SqliteRow) -> Result<FoundRow, sqlx::Error> {
    let is_own = row.try_get(1)?;
    Ok(FoundRow {
        seq: row.try_get(0)?,
        event: if is_own { Some(found(row)?) } else { None },
    })
}

fn found(row: &SqliteRow) -> Result<FoundEvent, sqlx::Error> {
    let id = uuid(row, 4)?;
    let found = Found {
        place: Place {
            seq: row.try_get(0)?,
            id,
        },
        attempts: row.try_get(2)?,
        retry_in: row.try_get(3)?,
        shard: row.try_get(5)?,
    };
    Ok(found.event(stored(row, id, 6)?))
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePoolOptions;
    use sqlx::{AssertSqlSafe, raw_sql};

    use super::*;
    use crate::shard::ShardSet;
    use crate::store::SeqRange;
    use crate::store::outbox_store::Limit;

    /// Guards: what a look reads is found by its number, so the rows below its cursor cost nothing.
    #[tokio::test]
    async fn a_look_searches_by_number_and_scans_nothing() {
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect("sqlite::memory:").await.unwrap();
        crate::migrate(&pool).await.unwrap();
        let topics = Topics(Some(["t".to_owned()].into()));
        let unseen = [SeqRange { first: 2, last: 3 }];
        for (unseen, with_attempts) in [(&[][..], false), (&[], true), (&unseen, true)] {
            let args = LookArgs {
                target: "default",
                selection: Selection {
                    shards: ShardSet::NONE.with(1),
                    topics: &topics,
                },
                cursor: 7,
                unseen,
                limit: Limit {
                    events: 10,
                    bytes: 100,
                },
                with_attempts,
            };
            let sql = format!("EXPLAIN QUERY PLAN {}", look_sql(&args));
            let steps = raw_sql(AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap();
            let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
            let above = "SEARCH idem_outbox USING INTEGER PRIMARY KEY (rowid>?)";
            assert!(steps.iter().any(|step| step == above), "{steps:?}");
            for table in ["idem_outbox", "event", "attempt", "idem_attempts"] {
                let scan = format!("SCAN {table}");
                assert!(
                    !steps.iter().any(|step| step.starts_with(&scan)),
                    "{steps:?}"
                );
            }
        }
    }
}
