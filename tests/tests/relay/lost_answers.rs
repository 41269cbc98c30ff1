//! Answers of the database that never come, on connections that stay open.

use std::collections::HashSet;
use std::time::Duration;

use idem_tests::proxy::{Lost, Proxy, When};
use tokio_util::sync::CancellationToken;

use super::suite::{emit, relay, unpublished};
use super::{Db, LOOK, NOW, Pool, RENEWAL, SETTLEMENT, start};
use crate::receivers::{Log, To, within};

/// A database behind a proxy.
struct Behind {
    proxy: Proxy,
    db: Db,
    /// Of the relay. The test itself goes past the proxy.
    pool: Pool,
}

impl Behind {
    async fn start() -> Self {
        let db = start().await;
        let proxy = Proxy::start(db.database().address().unwrap()).unwrap();
        let pool = Db::pool_of(&db.database().url_through(proxy.address()), 4).await;
        Self { proxy, db, pool }
    }
}

async fn lost(lost: &Lost) {
    let happened = async {
        while !lost.happened() {
            tokio::task::yield_now().await;
        }
    };
    within(happened).await;
}

/// A look.
async fn the_relay_reads_on() {
    let behind = Behind::start().await;
    let log = Log::new();
    let shutdown = CancellationToken::new();
    let relay = relay(&behind.pool, To::all(&log)).lease(Duration::from_secs(3));
    let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
    emit(&behind.db.pool, &[(Some("a"), 1)]).await.unwrap();
    log.until(|taken| taken.len() == 1).await;
    let swallowed = behind.proxy.swallow_reply(When::Contains(LOOK));
    lost(&swallowed).await;
    emit(&behind.db.pool, &[(Some("a"), 2)]).await.unwrap();
    log.until(|taken| taken.len() == 2).await;
    shutdown.cancel();
    assert_eq!(within(running).await.unwrap().unwrap().published, 2);
}

/// A settlement, in the middle of which the relay is asked to stop.
async fn the_relay_settles_again_and_ends() {
    let behind = Behind::start().await;
    let log = Log::new();
    let shutdown = CancellationToken::new();
    let relay = relay(&behind.pool, To::all(&log)).lease(Duration::from_secs(3));
    let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
    let swallowed = behind.proxy.swallow_reply(When::Contains(SETTLEMENT));
    emit(&behind.db.pool, &[(Some("a"), 1), (None, 2)])
        .await
        .unwrap();
    lost(&swallowed).await;
    shutdown.cancel();
    assert_eq!(within(running).await.unwrap().unwrap().published, 2);
    assert_eq!(
        (unpublished(&behind.db.pool).await, log.all().len()),
        (0, 2)
    );
    let relays = "SELECT count(*) FROM idem_relays";
    assert_eq!(behind.db.number(relays).await, 0);
}

/// A renewal of the lease: it is renewed by another connection before it ends.
async fn the_lease_does_not_end() {
    let behind = Behind::start().await;
    let log = Log::new();
    let shutdown = CancellationToken::new();
    let relay = relay(&behind.pool, To::all(&log)).lease(Duration::from_millis(4_500));
    let running = tokio::spawn(relay.run(shutdown.clone().cancelled_owned()));
    emit(&behind.db.pool, &[(Some("a"), 1)]).await.unwrap();
    log.until(|taken| taken.len() == 1).await;
    let swallowed = behind.proxy.swallow_reply(When::Contains(RENEWAL));
    lost(&swallowed).await;
    let ended = format!("SELECT count(*) FROM idem_relays WHERE until < {NOW}");
    let alive = async {
        let mut ends = HashSet::new();
        // That of the renewal that was executed and not answered is one of them.
        while ends.len() < 3 {
            let end = "SELECT CAST(until AS char(40)) FROM idem_relays";
            ends.extend(behind.db.texts(end).await);
            assert_eq!(behind.db.number(&ended).await, 0, "a lease that has ended");
        }
    };
    within(alive).await;
    shutdown.cancel();
    within(running).await.unwrap().unwrap();
}

/// Guards: the time limit of each statement, after which its connection is closed; for the lease, a
/// limit that is a part of it. The three wait side by side, as a limit is no less than a second.
#[tokio::test]
async fn an_answer_that_never_comes_holds_up_neither_relay_nor_shutdown_nor_lease() {
    tokio::join!(
        the_relay_reads_on(),
        the_relay_settles_again_and_ends(),
        the_lease_does_not_end(),
    );
}
