//! What a look reads does not grow with what is in the outbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use idem_runtime::PublishError;
use idem_testing::__internals::FaultProxy;
use tokio_util::sync::CancellationToken;

use super::suite::{emit, relay};
use super::{Db, LOOK, PROTOCOL, rows_read, start};
use crate::receivers::{Log, To, within};

/// How many rows one look reads at most.
const MOST: usize = 200;

/// More than one look reads.
const HELD: u32 = 1_000;

async fn emit_held(db: &Db, keys: std::ops::Range<u32>) {
    let keys: Vec<_> = keys.map(|n| format!("held {n}")).collect();
    let events: Vec<_> = (0..).zip(&keys).map(|(n, key)| (Some(&**key), n)).collect();
    emit(&db.pool, &events).await.unwrap();
}

/// The looks that the proxy has seen.
fn looks(proxy: &FaultProxy) -> Vec<String> {
    let sql = proxy.steps().into_iter().filter_map(|step| step.sql);
    sql.filter(|sql| sql.contains(LOOK)).collect()
}

/// Guards: a look reads what is above its cursor, by the primary key and up to its limit. Whether
/// it does must not depend on statistics, since nothing here was ever analysed.
#[tokio::test]
async fn a_look_reads_no_more_rows_the_more_are_held_back_or_wait() {
    let db = start().await;
    let proxy = FaultProxy::start(PROTOCOL, db.database().address().unwrap()).unwrap();
    let pool = Db::pool_of(&db.database().url_through(proxy.address()), 4).await;
    emit_held(&db, 0..HELD).await;
    let log = Log::new();
    let failed = Arc::new(AtomicUsize::new(0));
    let fails = failed.clone();
    let publisher = To::new(&log, move |message| {
        if message.key.is_none() {
            return Ok(());
        }
        fails.fetch_add(1, Ordering::Relaxed);
        Err(PublishError::retryable("not now").after(Duration::from_hours(1)))
    });
    proxy.arm(&[]);
    let shutdown = CancellationToken::new();
    let relay = relay(&pool, publisher).in_hand(MOST, 1 << 20);
    let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
    let attempts =
        async { while db.number("SELECT count(*) FROM idem_attempts").await < HELD.into() {} };
    within(attempts).await;
    assert_eq!(failed.load(Ordering::Relaxed), HELD as usize);
    let from_the_start = looks(&proxy).swap_remove(0);

    // All are held back now. A look that finds one new event reads that one.
    proxy.arm(&[]);
    emit(&db.pool, &[(None, 1)]).await.unwrap();
    log.until(|taken| taken.len() == 1).await;
    shutdown.cancel();
    within(running).await.unwrap().unwrap();
    let past_them = looks(&proxy);
    assert!(!past_them.is_empty());
    for look in past_them {
        let read = rows_read(&db, &look).await;
        assert!(read <= 20, "{read} rows read by {look}");
    }

    // A look from the start, as of a relay that takes over.
    let few = rows_read(&db, &from_the_start).await;
    assert!(few >= MOST as u64, "{few} rows");
    for n in 1..4 {
        emit_held(&db, HELD * n..HELD * (n + 1)).await;
    }
    assert_eq!(rows_read(&db, &from_the_start).await, few);
}
