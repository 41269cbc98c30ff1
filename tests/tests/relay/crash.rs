//! A relay whose process is killed.

use super::start;
use super::suite::{emit, relay, unpublished};
use crate::child::RelayProcess;
use crate::receivers::{Log, To, within};

/// Guards: that the system ends what a relay holds is seen by others: a session of the database, or
/// the lock of a file. Its lease goes on for a minute.
#[tokio::test]
async fn a_relay_whose_process_was_killed_is_replaced_at_once() {
    let db = start().await;
    let ids = emit(&db.pool, &[(Some("a"), 1), (None, 2)]).await.unwrap();
    let mut first = RelayProcess::start(db.database().url(), "hold");
    first.is_handed(&ids).await;
    first.kill().await;
    assert_eq!(db.number("SELECT count(*) FROM idem_relays").await, 1);
    let log = Log::new();
    let relayed = within(relay(&db.pool, To::all(&log)).drain()).await;
    assert_eq!(relayed.unwrap().published, 2);
    assert_eq!((unpublished(&db.pool).await, log.all().len()), (0, 2));
}
