//! What every database must do.

mod crowd;
mod dead_letters;
mod delivery;
mod looks;
mod order;
mod publishers;
mod shards;

use std::time::Duration;

use idem_runtime::{Event, EventId, Outbox, Publisher, Relay, outbox};
use serde::Serialize;
use sqlx::{Row as _, raw_sql};

use super::{
    BEGIN, Conn, Db, LARGE_HEADERS, LEASE_AFTER_A_CRASH, Pool, RESET_SEQUENCE, empty, start,
};

#[derive(Serialize, Event)]
#[event(topic = "happenings", key = "key")]
pub(crate) struct Happened {
    key: String,
    n: u32,
}

#[derive(Serialize, Event)]
#[event(topic = "loose.happenings")]
pub(crate) struct Loose {
    n: u32,
}

/// Emits events with these keys and numbers, in one transaction.
#[outbox(scope = "relay.emit")]
pub(crate) async fn emit(
    tx: &mut Conn,
    outbox: &mut Outbox<(Happened, Loose)>,
    events: &[(Option<&str>, u32)],
) -> Result<Vec<EventId>, sqlx::Error> {
    let _: &mut Conn = tx;
    let mut ids = Vec::new();
    for &(key, n) in events {
        ids.push(match key {
            Some(key) => outbox.emit(&Happened {
                key: key.to_owned(),
                n,
            }),
            None => outbox.emit(&Loose { n }),
        });
    }
    Ok(ids)
}

/// A relay that loses no time.
pub(crate) fn relay<P: Publisher>(
    pool: &Pool,
    publisher: P,
) -> Relay<<Conn as sqlx::Connection>::Database, P> {
    Relay::new(pool.clone(), publisher)
        .poll_interval(Duration::from_millis(5))
        .backoff(Duration::from_millis(1), Duration::from_millis(20))
}

pub(crate) async fn unpublished(pool: &Pool) -> i64 {
    raw_sql("SELECT count(*) FROM idem_outbox")
        .fetch_one(pool)
        .await
        .unwrap()
        .get(0)
}
