//! Writes down how events ended.

use std::fmt::Write as _;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::LONGEST_STATEMENT;
use super::literal::text;
use super::round_trip::{BY_INDEX, fetch_last};
use super::stored_row::{EVENT, plain, table, texts, unnested};
use crate::store::outbox_store::RELAY;
use crate::store::verdict::fits;
use crate::store::{Home, Place, Settlement};

pub(super) async fn settle(
    conn: &mut PgConnection,
    home: &Home,
    settlement: &Settlement<'_>,
) -> Result<bool, sqlx::Error> {
    let sql = settlement_sql(home, settlement);
    fits(sql.len(), LONGEST_STATEMENT)?;
    let row = fetch_last(conn, sql).await?;
    row.ok_or(sqlx::Error::RowNotFound)?.try_get(0)
}

/// The statements run in one implicit transaction. The first one locks the row of the relay, so
/// that nobody can take its shards before the last one has run.
fn settlement_sql(home: &Home, settlement: &Settlement<'_>) -> String {
    let mut sql = BY_INDEX.to_owned();
    let shards = settlement.shards();
    if shards.is_empty() {
        published_sql(&mut sql, home, settlement);
        sql.push_str("SELECT true");
        return sql;
    }
    let owner = format!(
        "SELECT true FROM {} WHERE owner = '{}' AND target = {} AND (shards & '{shards}'::bigint) = '{shards}'::bigint",
        table(home, "idem_relays"),
        settlement.owner,
        text(settlement.target),
        shards = shards.bits(),
    );
    let _ = write!(sql, "{owner} FOR SHARE; ");
    published_sql(&mut sql, home, settlement);
    let is_owner = format!("EXISTS ({owner})");
    failed_sql(&mut sql, home, settlement, &is_owner);
    dead_sql(&mut sql, home, settlement, &is_owner);
    let _ = write!(sql, "SELECT {is_owner}");
    sql
}

fn published_sql(sql: &mut String, home: &Home, settlement: &Settlement<'_>) {
    if !settlement.published.is_empty() {
        let runs = Runs::of(settlement.published);
        // The numbers follow each other, mostly. To look each of them up, and its ID in a list,
        // would take twice as long.
        let _ = write!(
            sql,
            "DELETE FROM {} AS event \
             USING unnest({}::bigint[], {}::bigint[], {}::integer[]) AS run (first, last, place) \
             WHERE seq BETWEEN first AND last \
               AND uuid_send(id) = substr(decode('{}', 'hex'), (place + (seq - first)::integer) * 16 + 1, 16); ",
            table(home, "idem_outbox"),
            plain(&runs.firsts),
            plain(&runs.lasts),
            plain(&runs.places),
            hex::encode(runs.ids),
        );
    }
    if !settlement.recovered.is_empty() {
        let ids = plain(settlement.recovered);
        forget_sql(sql, home, settlement.target, &ids, "true");
    }
}

/// Numbers from a first to a last one, and at each the ID that is to be there.
#[derive(Debug, Default)]
struct Runs {
    firsts: Vec<i64>,
    lasts: Vec<i64>,
    /// Where in `ids` a run begins.
    places: Vec<usize>,
    ids: Vec<u8>,
}

/// How many numbers of others a run passes at most before the next one of ours.
const GAP: i64 = 16;

impl Runs {
    fn of(places: &[Place]) -> Self {
        let mut places = places.to_vec();
        places.sort_unstable();
        // Nothing has this ID, so what is between ours is left alone.
        let nobody = Uuid::now_v7();
        let mut runs = Self::default();
        for place in places {
            match runs.lasts.last_mut() {
                Some(last) if place.seq > *last && place.seq - *last <= GAP => {
                    for _ in *last + 1..place.seq {
                        runs.ids.extend(nobody.as_bytes());
                    }
                    *last = place.seq;
                }
                _ => {
                    runs.firsts.push(place.seq);
                    runs.lasts.push(place.seq);
                    runs.places.push(runs.ids.len() / 16);
                }
            }
            runs.ids.extend(place.id.as_bytes());
        }
        runs
    }
}

/// The last attempt counts if there are several of one event.
fn failed_sql(sql: &mut String, home: &Home, settlement: &Settlement<'_>, is_owner: &str) {
    let failed = settlement.failed.iter();
    if failed.len() == 0 {
        return;
    }
    let _ = write!(
        sql,
        "INSERT INTO {} (origin, name, source, id, attempts, retry_at, last_error) \
         SELECT DISTINCT ON (id) '{RELAY}', {}, '', id, attempts, \
           statement_timestamp() + delay * interval '1 microsecond', reason \
         FROM unnest({}::text[], {}::integer[], {}::bigint[], {}::text[]) AS failed (id, attempts, delay, reason) \
         WHERE {is_owner} ORDER BY id, attempts DESC \
         ON CONFLICT (origin, name, source, id) DO UPDATE SET attempts = excluded.attempts, \
           retry_at = excluded.retry_at, last_error = excluded.last_error, touched_at = clock_timestamp(); ",
        table(home, "idem_attempts"),
        text(settlement.target),
        plain(failed.clone().map(|attempt| attempt.place.id)),
        plain(failed.clone().map(|attempt| attempt.attempts)),
        plain(failed.clone().map(|attempt| attempt.delay.as_micros())),
        texts(failed.map(|attempt| &attempt.reason)),
    );
}

/// An event with the same ID may have died before, and was emitted again since.
fn dead_sql(sql: &mut String, home: &Home, settlement: &Settlement<'_>, is_owner: &str) {
    let dead = settlement.dead.iter();
    if dead.len() == 0 {
        return;
    }
    let outbox = table(home, "idem_outbox");
    let places = unnested(dead.clone().map(|letter| &letter.place));
    let _ = write!(
        sql,
        "WITH died AS (DELETE FROM {outbox} AS event \
           USING ROWS FROM ({places}, unnest({}::integer[]), unnest({}::text[])) \
             WITH ORDINALITY AS letter (seq, id, attempts, reason, place) \
           WHERE event.seq = letter.seq AND CASE WHEN event.id = letter.id THEN {is_owner} END \
           RETURNING event.id::text, {EVENT}, attempts, reason, place) \
         INSERT INTO {} (origin, name, source, id, {EVENT}, attempts, reason) \
         SELECT '{RELAY}', {}, '', id, {EVENT}, attempts, reason FROM died ORDER BY place \
         ON CONFLICT (origin, name, source, id) DO UPDATE SET shard = excluded.shard, topic = excluded.topic, \
           key = excluded.key, type = excluded.type, payload = excluded.payload, content_type = excluded.content_type, \
           headers = excluded.headers, created_at = excluded.created_at, attempts = excluded.attempts, \
           reason = excluded.reason, died_at = clock_timestamp(); ",
        plain(dead.clone().map(|letter| letter.attempts)),
        texts(dead.clone().map(|letter| &letter.reason)),
        table(home, "idem_dead_letters"),
        text(settlement.target),
    );
    let ids = plain(dead.map(|letter| letter.place.id));
    forget_sql(sql, home, settlement.target, &ids, is_owner);
}

fn forget_sql(sql: &mut String, home: &Home, target: &str, ids: &str, condition: &str) {
    let _ = write!(
        sql,
        "DELETE FROM {} WHERE origin = '{RELAY}' AND name = {} AND source = '' AND id = ANY ({ids}::text[]) AND {condition}; ",
        table(home, "idem_attempts"),
        text(target),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(seq: i64) -> Place {
        Place {
            seq,
            id: Uuid::from_u128(seq.unsigned_abs().into()),
        }
    }

    fn ids(runs: &Runs) -> Vec<u128> {
        let ids = runs.ids.chunks(16).map(|id| Uuid::from_slice(id).unwrap());
        ids.map(|id| id.as_u128()).collect()
    }

    /// Guards: at each number stands the ID of its event, and at a number of another relay none.
    #[test]
    fn numbers_that_follow_each_other_are_one_run() {
        let runs = Runs::of(&[3, 1, 2, 5, 40, 41].map(place));
        assert_eq!((&*runs.firsts, &*runs.lasts), (&[1, 40][..], &[5, 41][..]));
        assert_eq!(runs.places, [0, 5]);
        let ids = ids(&runs);
        assert_eq!((&ids[..3], &ids[4..]), (&[1, 2, 3][..], &[5, 40, 41][..]));
        assert!(ids[3] > 100, "nobody has a small ID like these");
    }

    /// Guards: after a reset of the sequence two events can have the same number.
    #[test]
    fn two_events_of_one_number_are_two_runs() {
        let mut places = [1, 2, 2, 3].map(place);
        places[2].id = Uuid::from_u128(20);
        let runs = Runs::of(&places);
        assert_eq!((&*runs.firsts, &*runs.lasts), (&[1, 2][..], &[2, 3][..]));
        assert_eq!(ids(&runs), [1, 2, 20, 3]);
    }
}
